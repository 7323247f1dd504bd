//! The configuration language: text in, tree or errors out.
//!
//! The grammar is nginx's, to the letter: words, quotes, `;`, `{ }`, `#` comments and `include`. What the words mean is
//! left to others: this crate **knows no directive** but `include`, **opens no socket and reads no clock**. Files are
//! read only through a [`Loader`].
//!
//! ```text
//! text --lexer--> tokens --parser--> tree of Nodes --(directive tables of other crates)--> typed configuration
//!                            \--> Diagnostics, all of them, each with file, line, column and the line itself
//! ```
//!
//! ```
//! let parsed = daemun_conf::parse_text("example", "events { } http { server { listen 80 } }");
//! assert_eq!(parsed.tree.len(), 2);
//! assert!(parsed.has_errors());
//! assert!(parsed.render().starts_with(r#"[emerg] unexpected "}" in example:1"#));
//! ```

mod argument;
mod diagnostic;
mod directive;
mod glob;
mod lexer;
pub mod limits;
mod loader;
mod nearest;
mod parser;
mod quantity;
mod snapshot;
mod source;
mod tree;

pub use argument::{ArgumentError, Arguments};
pub use diagnostic::{Diagnostic, Severity, render_all};
pub use directive::{Arity, Context, Directive, check_directive, unknown_directive};
pub use loader::{FileSystem, Loader};
pub use nearest::nearest;
pub use parser::{Parsed, Parser, parse, parse_text};
pub use quantity::{parse_milliseconds, parse_offset, parse_seconds, parse_size};
pub use snapshot::{Recorder, Snapshot};
pub use source::{FileId, Source, SourceKind, Sources, Span};
pub use tree::{Block, Node, Word};
