//! The manuals that the program writes of its own tables.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::finding::Finding;
use crate::metadata::{cargo, output_of};
use crate::tree::Tree;

/// A manual.
#[derive(Clone, Copy)]
struct Manual {
    /// Where it stands.
    path: &'static str,
    /// What the program is asked for: `daemun manual TOPIC`.
    topic: &'static str,
}

const MANUALS: [Manual; 2] =
    [Manual { path: "docs/directives.md", topic: "directives" }, Manual { path: "docs/options.md", topic: "options" }];

/// Compares the manuals with what the program says of itself now.
pub fn check(root: &Path, tree: &Tree) -> Vec<Finding> {
    let compared = MANUALS.iter().filter_map(|manual| match generate(root, *manual) {
        Ok(text) => compare(*manual, tree.text(manual.path), &text),
        Err(message) => {
            let first = message.lines().next().unwrap_or_default();
            Some(Finding::new(manual.path, 1, format!("cannot be compared: {first}")))
        }
    });
    compared.collect()
}

/// Writes the manuals anew.
///
/// # Errors
///
/// When the program does not tell them or a file cannot be written.
pub fn write_all(root: &Path) -> Result<ExitCode, String> {
    for manual in MANUALS {
        let text = generate(root, manual)?;
        std::fs::write(root.join(manual.path), text).map_err(|error| format!("{}: {error}", manual.path))?;
        println!("{}", manual.path);
    }
    Ok(ExitCode::SUCCESS)
}

fn generate(root: &Path, manual: Manual) -> Result<String, String> {
    let arguments = ["run", "--quiet", "--package", "daemun", "--", "manual", manual.topic];
    let text =
        output_of(Command::new(cargo()).args(arguments).current_dir(root), &format!("daemun manual {}", manual.topic))?;
    if text.trim().is_empty() { Err(format!("daemun manual {} says nothing", manual.topic)) } else { Ok(text) }
}

/// The first line in which the file differs from what the program says.
fn compare(manual: Manual, written: Option<&str>, told: &str) -> Option<Finding> {
    let Some(written) = written else {
        return Some(Finding::new(manual.path, 1, "there is no such file; `cargo xtask manual` writes it"));
    };
    if written == told {
        return None;
    }
    let same = written.lines().zip(told.lines()).take_while(|(written, told)| written == told).count();
    let told = told.lines().nth(same).map_or_else(|| "to end here".to_owned(), |line| format!("`{line}`"));
    let message = format!("differs from what the program says, {told}; `cargo xtask manual` writes it anew");
    Some(Finding::new(manual.path, same + 1, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::printed;

    fn compared(written: Option<&str>, told: &str) -> Vec<String> {
        printed(compare(MANUALS[0], written, told).as_slice())
    }

    #[test]
    fn the_first_difference_is_named() {
        assert!(compared(Some("a\nb\n"), "a\nb\n").is_empty());
        let expected =
            "docs/directives.md:2: differs from what the program says, `c`; `cargo xtask manual` writes it anew";
        assert_eq!(compared(Some("a\nb\n"), "a\nc\n"), [expected]);
        let expected = "docs/directives.md:2: differs from what the program says, to end here; `cargo xtask manual` writes it anew";
        assert_eq!(compared(Some("a\nb\n"), "a\n"), [expected]);
    }

    #[test]
    fn a_missing_manual_is_found() {
        assert_eq!(
            compared(None, "a"),
            ["docs/directives.md:1: there is no such file; `cargo xtask manual` writes it"]
        );
    }
}
