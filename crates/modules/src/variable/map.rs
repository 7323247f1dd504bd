//! `map`: a variable whose value depends on another's.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Node};
use daemun_server::config::setter;
use daemun_server::host_names::{HostNames, InvalidWildcard};
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
    /// Texts in lower case: case does not count. Wildcards among them with `hostnames`.
    texts: HostNames<Template>,
    patterns: Vec<(Pattern, Template)>,
    default: Option<Template>,
    has_hostnames: bool,
    is_volatile: bool,
}

fn set_map(_: &mut Map, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let source = setter::template(arguments, 0)?;
    let name = super::variable_name(arguments, 1)?;
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
        let text = key.strip_prefix('\\').unwrap_or(key);
        let inserted = if self.has_hostnames {
            self.texts.insert(text, result)
        } else {
            Ok(self.texts.insert_exact(&text.to_ascii_lowercase(), result))
        };
        match inserted {
            Ok(true) => Ok(()),
            Ok(false) => Err(error(format!("conflicting parameter \"{key}\""))),
            Err(InvalidWildcard) => Err(error(format!("invalid hostname or wildcard \"{key}\""))),
        }
    }

    /// The result for `value`, whose groups become the request's where an expression matches.
    fn find(&self, request: &Request, value: &mut Vec<u8>) -> Option<&Template> {
        if self.has_hostnames && value.last() == Some(&b'.') {
            value.pop();
        }
        let lower = value.to_ascii_lowercase();
        self.texts
            .find(&lower)
            .or_else(|| {
                self.patterns.iter().find(|(pattern, _)| pattern.test(request, value)).map(|(_, result)| result)
            })
            .or(self.default.as_ref())
    }
}
