//! The chores of the repository: `cargo xtask tidy` holds the house rules, `cargo xtask manual` writes the manuals.
//!
//! ```text
//!   tree (files) ──rust (tokens, functions, names)──┐
//!   cargo metadata ──metadata───────────────────────┼──▶ check/* ──▶ findings, "path:line: what is wrong, what would be right"
//!   the program's own tables ──manual───────────────┘
//! ```
//!
//! It changes nothing but the manuals, and leaves to others what they do already: formatting (`cargo fmt`), the compiler's and
//! clippy's lints (`[workspace.lints]`, clippy.toml), tests.

mod check;
mod finding;
mod manual;
mod metadata;
mod rust;
mod tidy;
mod tree;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says where at run time; what was compiled in may be another checkout with the same target folder.
    let manifest_folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| "xtask".to_owned());
    let root = Path::new(&manifest_folder).parent().filter(|root| root.is_dir()).unwrap_or(Path::new("."));
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy::run(root),
        ["manual"] => manual::write_all(root),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "\
usage: cargo xtask tidy     check the house rules; every finding is reported
       cargo xtask manual   write docs/directives.md and docs/options.md anew";
