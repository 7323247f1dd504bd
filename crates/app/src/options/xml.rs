//! XML to settings: in the element `uwsgi` one element per option, its text the value.

use daemun_conf::{Diagnostic, FileId, Span, Word};
use roxmltree::{Document, Node, TextPos};

use crate::options::format::{Section, USUAL_SECTION};
use crate::options::setting::Setting;

/// Reads the settings of the element `uwsgi`: of several the first whose `id` is the one asked for, or that has none. Elements in
/// it may have an `id` too.
pub(crate) fn read_section(
    file: FileId,
    text: &str,
    asked: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Section {
    let mut section = Section::default();
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let span = span_at(file, error.pos(), 1);
            diagnostics.push(Diagnostic::error(span, format!("this is not XML: {error}")));
            return section;
        }
    };
    let is_asked = |node: &Node<'_, '_>| match (asked, node.attribute("id")) {
        (Some(asked), Some(id)) => asked == id,
        _ => true,
    };
    let root = document.root_element();
    let candidates: Vec<Node<'_, '_>> =
        if root.has_tag_name(USUAL_SECTION) { vec![root] } else { root.children().filter(Node::is_element).collect() };
    section.names =
        candidates.iter().map(|node| node.attribute("id").unwrap_or(node.tag_name().name()).to_owned()).collect();
    let is_section = |node: &&Node<'_, '_>| node.has_tag_name(USUAL_SECTION) && (**node == root || is_asked(node));
    if let Some(element) = candidates.iter().find(is_section) {
        section.is_found = true;
        for node in element.children().filter(Node::is_element).filter(is_asked) {
            section.settings.extend(setting(file, &document, &node, diagnostics));
        }
    }
    section
}

/// `<name>value</name>` or `<name/>`, and `<app mountpoint="/x"><script>value</script></app>`, which is `mount`.
fn setting(
    file: FileId,
    document: &Document<'_>,
    node: &Node<'_, '_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Setting> {
    let name = node.tag_name().name();
    let span = |at: usize, length: usize| span_at(file, document.text_pos_at(at), length);
    let start = node.range().start;
    let key_span = span(start.saturating_add(1), name.chars().count());
    let is_app = name == "app";
    let content = if is_app { node.first_element_child().unwrap_or(*node) } else { *node };
    if let Some(child) = content.first_element_child() {
        let message = format!("option \"{name}\" has a value, no elements");
        diagnostics.push(Diagnostic::error(span(child.range().start, 1), message));
        return None;
    }
    let text = content.text().unwrap_or_default();
    let at = content.first_child().map_or(start, |child| child.range().start + (text.len() - text.trim_start().len()));
    let text = text.trim();
    // An element without content is a flag that is set.
    let mut value = if content.has_children() { text.to_owned() } else { "1".to_owned() };
    let mut name = name;
    if is_app {
        if text.is_empty() {
            return None;
        }
        value = match (node.attribute("mountpoint"), node.attribute("domain")) {
            (Some(place), _) => format!("{place}={text}"),
            (None, Some(domain)) => format!("{domain}|={text}"),
            (None, None) => text.to_owned(),
        };
        name = "mount";
    }
    let key = Word { text: name.to_owned(), span: key_span, quoted: false };
    Some(Setting::new(key, Some(Word { text: value, span: span(at, text.chars().count()), quoted: false })))
}

fn span_at(file: FileId, position: TextPos, length: usize) -> Span {
    let length = u32::try_from(length).unwrap_or(u32::MAX).max(1);
    Span { file, line: position.row.max(1), column: position.col.max(1), length }
}
