//! No text, however odd, makes the reader panic, and every message points into the text.

use daemun_conf::{Node, parse_text};
use proptest::prelude::*;

fn assert_spans_inside(nodes: &[Node], lines: usize) {
    for node in nodes {
        assert!(node.name.span.line as usize <= lines);
        assert_spans_inside(node.children(), lines);
    }
}

fn read(text: &str) {
    let parsed = parse_text("x.conf", text);
    let lines = text.split('\n').count();
    assert_spans_inside(&parsed.tree, lines);
    for diagnostic in &parsed.diagnostics {
        let span = diagnostic.span.expect("every mistake in a text has a place");
        assert!(span.line as usize <= lines && span.column >= 1);
        assert!(diagnostic.render(&parsed.sources).lines().count() >= 3);
    }
}

proptest! {
    #[test]
    fn any_text(text in ".{0,200}") {
        read(&text);
    }

    #[test]
    fn text_of_the_grammar(pieces in prop::collection::vec(
        prop::sample::select(vec![
            " ", "\n", "\r\n", "\t", ";", "{", "}", "\"", "'", "\\", "$", "${", "#", "a", "include ", ")", "값", "\0",
        ]),
        0..60,
    )) {
        read(&pieces.concat());
    }
}

#[test]
fn every_beginning_of_a_real_file() {
    let text = include_str!("tutorial/nginx.conf");
    for (end, _) in text.char_indices() {
        read(&text[..end]);
    }
}
