//! Rust sources as the checks see them: tokens with lines, comments, functions, names. A scanner, not a parser: it knows enough of
//! the grammar to tell code from text, and braces from braces.

mod definitions;
mod functions;
mod scanner;
mod source;

pub use definitions::Definitions;
pub use functions::Function;
pub use scanner::{Token, TokenKind};
pub use source::Source;
