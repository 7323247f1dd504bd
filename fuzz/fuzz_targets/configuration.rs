//! Any text is a tree or errors; a tree that is written out with every word quoted is read as the same tree.
#![no_main]

use daemun_conf::{Node, parse_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = parse_text("fuzz", text);
    if parsed.has_errors() {
        assert!(!parsed.render().is_empty(), "an error has a text");
        return;
    }
    let mut written = String::new();
    write(&parsed.tree, &mut written);
    let again = parse_text("written", &written);
    assert!(!again.has_errors(), "{}\n{written}", again.render());
    assert_eq!(words(&parsed.tree), words(&again.tree), "{written}");
});

fn write(nodes: &[Node], out: &mut String) {
    for node in nodes {
        for word in std::iter::once(&node.name).chain(&node.args) {
            out.push('"');
            out.push_str(&word.text.replace('\\', "\\\\").replace('"', "\\\""));
            out.push_str("\" ");
        }
        match &node.block {
            Some(block) => {
                out.push_str("{\n");
                write(&block.nodes, out);
                out.push_str("}\n");
            }
            None => out.push_str(";\n"),
        }
    }
}

/// The words of a tree in order, with marks where blocks begin and end.
fn words(nodes: &[Node]) -> Vec<&str> {
    let mut all = Vec::new();
    for node in nodes {
        all.push(node.name.text.as_str());
        all.extend(node.args.iter().map(|word| word.text.as_str()));
        all.push(";");
        if let Some(block) = &node.block {
            all.push("{");
            all.extend(words(&block.nodes));
            all.push("}");
        }
    }
    all
}
