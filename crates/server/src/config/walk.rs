//! Walks the tree: each directive is found in the table, checked, and given to whoever reads it.

use daemun_conf::{Arguments, Arity, Context, Diagnostic, Node, Span, check_directive, unknown_directive};
use daemun_http::Method;

use super::core::CORE;
use super::main_block::{self, Main};
use super::server_block::{self, ServerBlock};
use super::table::{DirectiveTable, Effect, Reader, Structure};
use crate::limits::LOCATION_DEPTH_MAX;
use crate::module::{AnyModule, OpenSettings};
use crate::pattern::Pattern;
use crate::route::Matcher;
use crate::variable::{Registry, close_registry, open_registry};

/// A configuration with typed settings, nothing inherited yet.
#[derive(Default)]
pub struct Typed {
    /// Settings of the main context and of `events`.
    pub main: Main,
    /// Module settings of the main context (`error_log`).
    pub main_scope: Scope,
    /// The `http` block.
    pub http: Option<HttpBlock>,
    /// Whether there is an `events` block.
    pub has_events: bool,
    /// Variables that were named or declared.
    pub variables: Registry,
    /// Errors, warnings, and notices of what has no effect.
    pub diagnostics: Vec<Diagnostic>,
}

/// Settings of each module in one block, by the module's number; the core is number 0.
#[derive(Default)]
pub struct Scope {
    /// `None` where the block says nothing to the module.
    pub settings: Vec<Option<OpenSettings>>,
}

/// The `http` block.
#[derive(Default)]
pub struct HttpBlock {
    /// Settings at its own level.
    pub scope: Scope,
    /// Its servers.
    pub servers: Vec<ServerScope>,
}

/// A `server` block.
pub struct ServerScope {
    /// Settings at its own level.
    pub scope: Scope,
    /// `listen` and `server_name`.
    pub block: ServerBlock,
    /// Its locations.
    pub locations: Vec<LocationBlock>,
    /// Where it stands.
    pub span: Span,
}

/// A `location` block.
pub struct LocationBlock {
    /// How it matches; `None` for a named one.
    pub matcher: Option<Matcher>,
    /// The prefix, the expression or `@name`.
    pub name: String,
    /// Modifier and name as written.
    pub written: String,
    /// Where it stands.
    pub span: Span,
    /// Its settings.
    pub scope: Scope,
    /// Locations within it.
    pub locations: Vec<LocationBlock>,
    /// Settings of its `if` blocks, in order.
    pub conditionals: Vec<Scope>,
    /// Its `limit_except` block.
    pub limit_except: Option<LimitExcept>,
}

impl LocationBlock {
    /// What a location is called that takes no others within; `None` for those that do.
    fn closed_kind(&self) -> Option<&'static str> {
        match self.matcher {
            Some(Matcher::Exact(_)) => Some("exact"),
            None if self.name.starts_with('@') => Some("named"),
            _ => None,
        }
    }
}

/// A `limit_except` block.
pub struct LimitExcept {
    /// Methods that it lets be.
    pub methods: Vec<Method>,
    /// Settings of all others.
    pub scope: Scope,
}

/// Reads a tree with the directives of `table`, whose numbers name `modules`.
#[must_use]
pub fn walk(tree: &[Node], table: &DirectiveTable, modules: &'static [&'static dyn AnyModule]) -> Typed {
    open_registry(Registry::default());
    let mut walk = Walk { table, modules, diagnostics: Vec::new() };
    let mut typed = Typed::default();
    for node in tree {
        walk.main_node(node, &mut typed);
    }
    if !typed.has_events {
        walk.diagnostics.push(Diagnostic::error_without_place("no \"events\" section in configuration"));
    }
    typed.diagnostics = walk.diagnostics;
    typed.variables = close_registry();
    typed
}

struct Walk<'a> {
    table: &'a DirectiveTable,
    modules: &'static [&'static dyn AnyModule],
    diagnostics: Vec<Diagnostic>,
}

impl Walk<'_> {
    fn main_node(&mut self, node: &Node, typed: &mut Typed) {
        match self.find(node, Context::MAIN) {
            Some(Reader::Structure(Structure::Events)) => {
                if std::mem::replace(&mut typed.has_events, true) {
                    self.duplicate(node);
                }
                for child in node.children() {
                    if let Some(Reader::Main(index)) = self.find(child, Context::EVENTS) {
                        self.set_main(child, index, &mut typed.main);
                    }
                }
            }
            Some(Reader::Structure(Structure::Http)) => match typed.http {
                Some(_) => self.duplicate(node),
                None => typed.http = Some(self.http(node)),
            },
            Some(Reader::Main(index)) => self.set_main(node, index, &mut typed.main),
            Some(Reader::Module(module, index)) => self.set_module(node, module, index, &mut typed.main_scope),
            _ => {}
        }
    }

    fn http(&mut self, node: &Node) -> HttpBlock {
        let mut http = HttpBlock::default();
        for child in node.children() {
            match self.find(child, Context::HTTP) {
                Some(Reader::Structure(Structure::Server)) => {
                    let server = self.server(child);
                    http.servers.push(server);
                }
                Some(Reader::Module(module, index)) => self.set_module(child, module, index, &mut http.scope),
                _ => {}
            }
        }
        http
    }

    fn server(&mut self, node: &Node) -> ServerScope {
        let mut server = ServerScope {
            scope: Scope::default(),
            block: ServerBlock::default(),
            locations: Vec::new(),
            span: node.name.span,
        };
        for child in node.children() {
            match self.find(child, Context::SERVER) {
                Some(Reader::Structure(Structure::Location)) => {
                    let location = self.location(child, None, 1);
                    server.locations.extend(location);
                }
                Some(Reader::Server(index)) => {
                    let mut arguments = Arguments::new(child, &mut self.diagnostics);
                    if let Err(error) = (server_block::DIRECTIVES[index].set)(&mut server.block, &mut arguments) {
                        self.diagnostics.push(error.into_diagnostic(child));
                    }
                }
                Some(Reader::Module(module, index)) => {
                    self.set_module(child, module, index, &mut server.scope);
                    if child.is(CONDITIONAL) {
                        // Directives that steer the request are all it may have, and the module of `if` has read them.
                        self.block_settings(child, Context::IF_IN_SERVER);
                    }
                }
                _ => {}
            }
        }
        server
    }

    fn location(&mut self, node: &Node, parent: Option<&str>, depth: usize) -> Option<LocationBlock> {
        if depth > LOCATION_DEPTH_MAX {
            let message = format!("locations are nested more than {LOCATION_DEPTH_MAX} deep");
            self.diagnostics.push(Diagnostic::error(node.name.span, message));
            return None;
        }
        let (matcher, name) = match read_matcher(node, parent) {
            Ok(read) => read,
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                (None, String::new())
            }
        };
        let mut location = LocationBlock {
            matcher,
            name,
            written: node.args.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "),
            span: node.name.span,
            scope: Scope::default(),
            locations: Vec::new(),
            limit_except: None,
            conditionals: Vec::new(),
        };
        for child in node.children() {
            match self.find(child, Context::LOCATION) {
                Some(Reader::Structure(Structure::Location)) => {
                    if let Some(kind) = location.closed_kind() {
                        let (inner, outer) = (child.args.last().map_or("", |word| word.text.as_str()), &location.name);
                        let message = format!("location \"{inner}\" cannot be inside the {kind} location \"{outer}\"");
                        self.diagnostics.push(Diagnostic::error(child.name.span, message));
                    } else {
                        // As nginx: within an expression, too, a name begins with what the outer one is written as.
                        let nested = self.location(child, Some(&location.name), depth + 1);
                        location.locations.extend(nested);
                    }
                }
                Some(Reader::Structure(Structure::LimitExcept)) => {
                    if location.limit_except.is_some() {
                        self.duplicate(child);
                    }
                    location.limit_except = Some(self.limit_except(child));
                }
                Some(Reader::Module(module, index)) => {
                    self.set_module(child, module, index, &mut location.scope);
                    if child.is(CONDITIONAL) {
                        let scope = self.block_settings(child, Context::IF_IN_LOCATION);
                        location.conditionals.push(scope);
                    }
                }
                _ => {}
            }
        }
        Some(location)
    }

    fn limit_except(&mut self, node: &Node) -> LimitExcept {
        let mut methods = Vec::new();
        for word in &node.args {
            match Method::of(word.text.to_ascii_uppercase().as_bytes()) {
                Some(Method::Get) => methods.extend([Method::Get, Method::Head]),
                Some(Method::Extension(_) | Method::Trace | Method::Connect) | None => {
                    let message = format!("invalid method \"{}\"", word.text);
                    self.diagnostics.push(Diagnostic::error(word.span, message));
                }
                Some(method) => methods.push(method),
            }
        }
        LimitExcept { methods, scope: self.block_settings(node, Context::LIMIT_EXCEPT) }
    }

    /// The settings within an `if` or `limit_except` block: those of a location without a name.
    fn block_settings(&mut self, node: &Node, context: Context) -> Scope {
        let mut scope = Scope::default();
        for child in node.children() {
            if let Some(Reader::Module(module, index)) = self.find(child, context) {
                self.set_module(child, module, index, &mut scope);
            }
        }
        scope
    }

    /// Looks a directive up and checks its place and arguments; what is not built is said here.
    fn find(&mut self, node: &Node, context: Context) -> Option<Reader> {
        let Some(found) = self.table.find(&node.name.text, context) else {
            self.diagnostics.push(unknown_directive(node, self.table.names()));
            return None;
        };
        if let Err(diagnostic) = check_directive(node, context, found.entry.contexts, found.entry.arity) {
            self.diagnostics.push(diagnostic);
            return None;
        }
        let name = found.entry.name;
        let diagnostic = match found.reader {
            Reader::Known(Effect::Refused) => {
                Diagnostic::error(node.name.span, format!("directive \"{name}\" is not supported by daemun yet"))
            }
            Reader::Known(Effect::Later) => {
                Diagnostic::notice(node.name.span, format!("directive \"{name}\" is not yet in effect"))
            }
            // What has no effect can still be wrong.
            Reader::Known(Effect::None) => match Arguments::new(node, &mut self.diagnostics).flag(0) {
                Err(error) if found.entry.arity == Arity::Flag => error.into_diagnostic(node),
                _ => Diagnostic::notice(node.name.span, format!("directive \"{name}\" has no effect in daemun")),
            },
            reader => return Some(reader),
        };
        self.diagnostics.push(diagnostic);
        None
    }

    fn set_main(&mut self, node: &Node, index: usize, main: &mut Main) {
        let mut arguments = Arguments::new(node, &mut self.diagnostics);
        if let Err(error) = (main_block::DIRECTIVES[index].set)(main, &mut arguments) {
            self.diagnostics.push(error.into_diagnostic(node));
        }
    }

    fn set_module(&mut self, node: &Node, module: usize, index: usize, scope: &mut Scope) {
        scope.settings.resize_with(self.modules.len() + 1, || None);
        let reader: &dyn AnyModule = if module == 0 { &CORE } else { self.modules[module - 1] };
        let mut arguments = Arguments::new(node, &mut self.diagnostics);
        if let Err(error) = reader.set(index, &mut scope.settings[module], &mut arguments) {
            self.diagnostics.push(error.into_diagnostic(node));
        }
    }

    fn duplicate(&mut self, node: &Node) {
        let message = format!("\"{}\" directive is duplicate", node.name.text);
        self.diagnostics.push(Diagnostic::error(node.name.span, message));
    }
}

/// Reads `[= | ~ | ~* | ^~] uri` or `@name` of a `location`; the modifier may stand against the uri, as in `=/`. `parent` is the
/// name of the location around it, empty for one by an expression; `None` is the server's level. A named location has no matcher.
///
/// # Errors
/// In nginx's words.
pub fn read_matcher(node: &Node, parent: Option<&str>) -> Result<(Option<Matcher>, String), Diagnostic> {
    let first = node.args.first().map(|word| word.text.as_str()).unwrap_or_default();
    let (modifier, name) = match node.args.get(1) {
        Some(second) => (first, second.text.as_str()),
        None => MODIFIERS
            .iter()
            .find_map(|modifier| Some((*modifier, first.strip_prefix(modifier)?)))
            .unwrap_or(("", first)),
    };
    let error = |message: String| Diagnostic::error(node.name.span, message);
    let name_owned = name.to_owned();
    let matcher = match modifier {
        "=" => Matcher::Exact(name_owned),
        "^~" => Matcher::Prefix { name: name_owned, is_final: true },
        "~" | "~*" => Matcher::Regex(Pattern::new(name, modifier == "~*").map_err(|error| error.at(node.name.span))?),
        "" if name.starts_with('@') => {
            return match parent {
                Some(_) => Err(error(format!("named location \"{name}\" can be on the server level only"))),
                None => Ok((None, name_owned)),
            };
        }
        "" => Matcher::Prefix { name: name_owned, is_final: false },
        other => return Err(error(format!("invalid location modifier \"{other}\""))),
    };
    let is_outside = |outer: &str| !matches!(matcher, Matcher::Regex(_)) && !name.starts_with(outer);
    if let Some(outer) = parent.filter(|outer| is_outside(outer)) {
        return Err(error(format!("location \"{name}\" is outside location \"{outer}\"")));
    }
    Ok((Some(matcher), name.to_owned()))
}

/// The one directive of a module whose block has settings of its own.
const CONDITIONAL: &str = "if";

/// Longest first, so that `~*` is not read as `~`.
const MODIFIERS: [&str; 4] = ["^~", "~*", "=", "~"];
