//! The manuals, made of the tables that the program itself reads by.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;

use daemun_app::options::{Known, OPTIONS, State, known, known_names};
use daemun_conf::Arity;
use daemun_server::config::{DirectiveTable, Effect, Reader, TableEntry};

use crate::modules::MODULES;

/// Which manual.
#[derive(Clone, Copy, Debug)]
pub enum Manual {
    /// docs/directives.md
    Directives,
    /// docs/options.md
    Options,
}

/// Prints a manual.
pub fn print(which: Manual) -> ExitCode {
    let text = match which {
        Manual::Directives => directives(),
        Manual::Options => options(),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn directives() -> String {
    let table = DirectiveTable::new(MODULES);
    let all = table.sorted();
    let mut text = String::from("# Directives\n\nMade by `cargo xtask manual` from the tables the program reads by.\n");
    text.push_str("\n## In effect\n\n| directive | contexts | arguments | default | |\n|---|---|---|---|---|\n");
    for entry in all.iter().filter(|entry| !matches!(entry.reader, Reader::Known(_))) {
        let _ = writeln!(text, "{}", row(entry));
    }
    let known = [
        (Effect::Later, "Known, not yet in effect", "The configuration loads; `daemun check` lists them."),
        (Effect::None, "Without effect", "They have no meaning in daemun's model; `daemun check` lists them."),
        (Effect::Refused, "Not supported yet", "A configuration that has one of them is refused by name."),
    ];
    for (effect, title, meaning) in known {
        let names = all
            .iter()
            .filter(|entry| entry.reader == Reader::Known(effect))
            .map(|entry| format!("`{}`", entry.entry.name));
        let _ = writeln!(text, "\n## {title}\n\n{meaning}\n\n{}", names.collect::<Vec<_>>().join(", "));
    }
    text
}

fn row(entry: &TableEntry) -> String {
    let entry = &entry.entry;
    let contexts = entry.contexts.names().join(", ");
    let arguments = match entry.arity {
        Arity::Block { .. } => format!("block, {}", entry.arity.describe()),
        arity => arity.describe(),
    };
    let cell = |text: &str| text.replace('|', "\\|");
    format!("| `{}` | {contexts} | {arguments} | {} | {} |", entry.name, cell(entry.default), cell(entry.help))
}

fn options() -> String {
    let mut text = String::from(
        "# Options of an application pool\n\nMade by `cargo xtask manual` from the table the program reads by. Names are uWSGI's.\n",
    );
    text.push_str("\n| option | other names | argument | since | |\n|---|---|---|---|---|\n");
    for option in OPTIONS {
        let state = match option.state {
            State::Built => "",
            _ => " (known, not in effect yet)",
        };
        let others = option.aliases.join(", ");
        let argument = option.argument.describe().trim_start();
        let (name, since, help) = (option.name, option.since, option.help.replace('|', "\\|"));
        let _ = writeln!(text, "| `{name}` | {others} | {argument} | {since} | {help}{state} |");
    }
    let names: BTreeSet<&str> = known_names().collect();
    let known: Vec<(&str, Known)> = names.into_iter().filter_map(|name| Some((name, known(name)?))).collect();
    text.push_str("\n## Without effect\n\nThere is nothing here that they could change; a notice says so.\n\n| option | why |\n|---|---|\n");
    for (name, reason) in &known {
        if let Known::NoEffect(reason) = reason {
            let _ = writeln!(text, "| `{name}` | {reason} |");
        }
    }
    let with = |is_it: fn(&Known) -> bool| {
        let names = known.iter().filter(|(_, known)| is_it(known)).map(|(name, _)| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    let refused = with(|known| matches!(known, Known::Refused(_)));
    let _ = writeln!(text, "\n## Refused\n\nThey are an error.\n\n{refused}");
    let later = with(|known| matches!(known, Known::NotYet));
    let _ = writeln!(
        text,
        "\n## Known by name\n\nuWSGI has them, daemun not yet: a warning, or under `strict` an error, names them.\n\n{later}"
    );
    text
}
