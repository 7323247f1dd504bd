//! The syntax tree: directives by name, their arguments, their blocks.

use crate::source::Span;

/// A directive as it was written, with all `include`s already replaced by what they name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The first word.
    pub name: Word,
    /// The words behind it.
    pub args: Vec<Word>,
    /// What stands between `{` and `}`; `None` for a directive that ends with `;`.
    pub block: Option<Block>,
}

impl Node {
    /// The nodes of its block; none when it has no block.
    pub fn children(&self) -> &[Node] {
        self.block.as_ref().map_or(&[], |block| &block.nodes)
    }

    /// Whether the directive has this name.
    pub fn is(&self, name: &str) -> bool {
        self.name.text == name
    }
}

/// One word, unquoted and unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word's text.
    pub text: String,
    /// Where it stands, its quotes included.
    pub span: Span,
    /// Whether it stood in quotes.
    pub quoted: bool,
}

/// What stands between `{` and `}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The directives, in order.
    pub nodes: Vec<Node>,
    /// Where the `}` stands; where the file ends, if it is missing.
    pub close: Span,
}
