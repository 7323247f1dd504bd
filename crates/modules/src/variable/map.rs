//! `map`: a variable whose value depends on another's.

use std::collections::HashMap;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Node};
use daemun_server::config::setter;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::declare_computed;
use daemun_server::{Module, Pattern, Request, Template};

/// Named once, in the program's list of modules.
pub static MODULE: Module<Map> = Module {
    name: "map",
    directives: &[Directive {
        name: "map",
        contexts: Context::HTTP,
        arity: Arity::Block { min: 2, max: 2 },
        default: "none",
        help: "string $variable block of `value result`: a variable that depends on others; default, hostnames, volatile",
        set: set_map,
    }],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[],
};

/// A map has no settings of a location: all of it is in its variable.
#[derive(Default)]
pub struct Map;

/// What one `map` says.
#[derive(Default)]
struct Table {
    /// Texts in lower case: case does not count.
    exact: HashMap<Vec<u8>, Template>,
    /// `.example.org` of `*.example.org`, longest first.
    leading: Vec<(Vec<u8>, Template)>,
    /// `www.` of `www.*`, longest first.
    trailing: Vec<(Vec<u8>, Template)>,
    patterns: Vec<(Pattern, Template)>,
    default: Option<Template>,
    has_hostnames: bool,
    is_volatile: bool,
}

fn set_map(_: &mut Map, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let source = setter::template(arguments, 0)?;
    let written = arguments.text(1)?;
    let name = written.strip_prefix('$').filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| ArgumentError::new(Some(1), format!("invalid variable name \"{written}\"")))?;
    let nodes = arguments.block().unwrap_or_default();
    let mut table = Table {
        has_hostnames: nodes.iter().any(|node| is_flag(node, "hostnames")),
        is_volatile: nodes.iter().any(|node| is_flag(node, "volatile")),
        ..Table::default()
    };
    for node in nodes.iter().filter(|node| !is_flag(node, "hostnames") && !is_flag(node, "volatile")) {
        table.read(node).map_err(of_entry)?;
    }
    let is_volatile = table.is_volatile;
    let compute = Arc::new(move |request: &Request, out: &mut Vec<u8>| {
        let mut value = source.value(request);
        if let Some(result) = table.find(request, &mut value) {
            result.render(request, out);
        }
        true
    });
    declare_computed(name, compute, is_volatile)
        .map(|_| ())
        .map_err(|error| ArgumentError::new(Some(1), error.to_string()))
}

fn is_flag(node: &Node, name: &str) -> bool {
    node.is(name) && node.args.is_empty()
}

/// An entry's error as one of the directive.
fn of_entry(diagnostic: Diagnostic) -> ArgumentError {
    let error = ArgumentError::new(None, diagnostic.message);
    match diagnostic.span {
        Some(span) => error.with_hint(format!("the entry stands in line {}", span.line)),
        None => error,
    }
}

impl Table {
    fn read(&mut self, node: &Node) -> Result<(), Diagnostic> {
        let span = node.name.span;
        let error = |message: String| Diagnostic::error(span, message);
        let [result] = node.args.as_slice() else {
            return Err(error("invalid number of the map parameters".to_owned()));
        };
        let result = Template::parse_at(&result.text, Some(result.span)).map_err(|reason| error(reason.to_string()))?;
        let key = node.name.text.as_str();
        if key == "default" {
            return match self.default.replace(result) {
                Some(_) => Err(error("duplicate default map parameter".to_owned())),
                None => Ok(()),
            };
        }
        if let Some(pattern) = key.strip_prefix('~') {
            let (pattern, is_caseless) = pattern.strip_prefix('*').map_or((pattern, false), |pattern| (pattern, true));
            let pattern = Pattern::new(pattern, is_caseless).map_err(|reason| reason.at(span))?;
            self.patterns.push((pattern, result));
            return Ok(());
        }
        let lower = key.strip_prefix('\\').unwrap_or(key).to_ascii_lowercase();
        if self.insert(&lower, result) { Ok(()) } else { Err(error(format!("conflicting parameter \"{key}\""))) }
    }

    /// False where the text has an entry already.
    fn insert(&mut self, lower: &str, result: Template) -> bool {
        if self.has_hostnames {
            if let Some(suffix) = lower.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
                return insert_longest_first(&mut self.leading, suffix, result);
            }
            if let Some(prefix) = lower.strip_suffix('*').filter(|prefix| prefix.ends_with('.')) {
                return insert_longest_first(&mut self.trailing, prefix, result);
            }
            if let Some(name) = lower.strip_prefix('.') {
                return insert_longest_first(&mut self.leading, lower, result.clone())
                    && self.exact.insert(name.as_bytes().to_vec(), result).is_none();
            }
        }
        self.exact.insert(lower.as_bytes().to_vec(), result).is_none()
    }

    /// The result for `value`, whose groups become the request's where an expression matches.
    fn find(&self, request: &Request, value: &mut Vec<u8>) -> Option<&Template> {
        if self.has_hostnames && value.last() == Some(&b'.') {
            value.pop();
        }
        let lower = value.to_ascii_lowercase();
        self.find_text(&lower)
            .or_else(|| {
                self.patterns.iter().find(|(pattern, _)| pattern.test(request, value)).map(|(_, result)| result)
            })
            .or(self.default.as_ref())
    }

    /// Exact, then the longest `*.`, then the longest `.*`.
    fn find_text(&self, lower: &[u8]) -> Option<&Template> {
        let by_end = || self.leading.iter().find(|(suffix, _)| lower.len() > suffix.len() && lower.ends_with(suffix));
        let by_start =
            || self.trailing.iter().find(|(prefix, _)| lower.len() > prefix.len() && lower.starts_with(prefix));
        self.exact.get(lower).or_else(|| by_end().or_else(by_start).map(|(_, result)| result))
    }
}

fn insert_longest_first(list: &mut Vec<(Vec<u8>, Template)>, text: &str, result: Template) -> bool {
    let text = text.as_bytes().to_vec();
    if list.iter().any(|(other, _)| *other == text) {
        return false;
    }
    let at = list.partition_point(|(other, _)| other.len() >= text.len());
    list.insert(at, (text, result));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_as_the_engine_compares_them() {
        let mut table = Table { has_hostnames: true, ..Table::default() };
        for key in ["example.org", "*.example.org", "*.a.example.org", "www.*", ".dot.net"] {
            assert!(table.insert(key, Template::constant(key)), "{key}");
        }
        assert!(!table.insert("www.*", Template::default()));
        let found = |text: &str| {
            let result = table.find_text(text.as_bytes()).and_then(Template::as_constant);
            result.map(|text| String::from_utf8_lossy(text).into_owned())
        };
        assert_eq!(found("example.org").as_deref(), Some("example.org"));
        assert_eq!(found("x.example.org").as_deref(), Some("*.example.org"));
        assert_eq!(found("x.a.example.org").as_deref(), Some("*.a.example.org"));
        assert_eq!(found("www.other").as_deref(), Some("www.*"));
        assert_eq!(found("dot.net").as_deref(), Some(".dot.net"));
        assert_eq!(found("a.dot.net").as_deref(), Some(".dot.net"));
        assert_eq!(found("other"), None);
    }
}
