//! Every directive by name: whose it is, or what is said of one that is not built.

use std::collections::HashMap;

use daemun_conf::{Arity, Context};

use super::{core, main_block, server_block};
use crate::module::{AnyModule, DirectiveEntry, entries};

/// Who reads a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A block that the walk itself enters.
    Structure(Structure),
    /// [`main_block::DIRECTIVES`], by index.
    Main(usize),
    /// [`server_block::DIRECTIVES`], by index.
    Server(usize),
    /// A module's table: number of the module, index of the directive.
    Module(usize, usize),
    /// Known by name, not built.
    Known(Effect),
}

/// Blocks that give the configuration its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// `events { }`
    Events,
    /// `http { }`
    Http,
    /// `server { }`
    Server,
    /// `location ... { }`
    Location,
    /// `limit_except ... { }`
    LimitExcept,
}

/// What becomes of a directive that is known and not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Its feature comes later; the configuration loads and `daemun check` lists it.
    Later,
    /// It has no meaning in this program's model; `daemun check` lists it.
    None,
    /// The configuration is refused: leaving it out would change what the site does.
    Refused,
}

/// A directive as the table knows it.
#[derive(Clone, Copy, Debug)]
pub struct TableEntry {
    /// Name, contexts, arity, default and help.
    pub entry: DirectiveEntry,
    /// Who reads it.
    pub reader: Reader,
}

/// All directives by name. A name may stand for several entries, one per context.
pub struct DirectiveTable {
    by_name: HashMap<&'static str, Vec<TableEntry>>,
}

impl DirectiveTable {
    /// The table of `modules`; their order gives the numbers in [`Reader::Module`].
    #[must_use]
    pub fn new(modules: &'static [&'static dyn AnyModule]) -> Self {
        let mut table = Self { by_name: HashMap::new() };
        for (entry, structure) in STRUCTURES {
            table.insert(*entry, Reader::Structure(*structure));
        }
        table.insert_all(entries(main_block::DIRECTIVES), Reader::Main);
        table.insert_all(entries(server_block::DIRECTIVES), Reader::Server);
        table.insert_all(core::CORE.directives(), |index| Reader::Module(0, index));
        for (number, module) in modules.iter().enumerate() {
            table.insert_all(module.directives(), |index| Reader::Module(number + 1, index));
        }
        for (entry, effect) in known() {
            if !table.by_name.contains_key(entry.name) {
                table.insert(entry, Reader::Known(effect));
            }
        }
        table
    }

    fn insert_all(&mut self, entries: Vec<DirectiveEntry>, reader: impl Fn(usize) -> Reader) {
        for (index, entry) in entries.into_iter().enumerate() {
            self.insert(entry, reader(index));
        }
    }

    fn insert(&mut self, entry: DirectiveEntry, reader: Reader) {
        self.by_name.entry(entry.name).or_default().push(TableEntry { entry, reader });
    }

    /// The entry for `name`, the one for this context where there are several.
    #[must_use]
    pub fn find(&self, name: &str, context: Context) -> Option<TableEntry> {
        let entries = self.by_name.get(name)?;
        entries.iter().find(|entry| entry.entry.contexts.intersects(context)).or_else(|| entries.first()).copied()
    }

    /// All names, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }

    /// All entries in the order of their names, for the manual.
    #[must_use]
    pub fn sorted(&self) -> Vec<TableEntry> {
        let mut all: Vec<_> = self.by_name.values().flatten().copied().collect();
        all.sort_by_key(|entry| entry.entry.name);
        all
    }
}

const fn block(name: &'static str, contexts: Context, min: u8, max: u8, help: &'static str) -> DirectiveEntry {
    DirectiveEntry { name, contexts, arity: Arity::Block { min, max }, default: "none", help }
}

const STRUCTURES: &[(DirectiveEntry, Structure)] = &[
    (block("events", Context::MAIN, 0, 0, "block: how connections are handled"), Structure::Events),
    (block("http", Context::MAIN, 0, 0, "block: everything that speaks HTTP"), Structure::Http),
    (block("server", Context::HTTP, 0, 0, "block: a virtual server"), Structure::Server),
    (
        block(
            "location",
            Context::SERVER.or(Context::LOCATION),
            1,
            2,
            "[= | ~ | ~* | ^~] uri | @name block: settings of a part of the URIs",
        ),
        Structure::Location,
    ),
    (
        block(
            "limit_except",
            Context::LOCATION,
            1,
            u8::MAX,
            "method ... block: settings of requests with any other method; GET stands for HEAD too",
        ),
        Structure::LimitExcept,
    ),
];

/// nginx's directives that are not built: name, contexts, arguments, effect; tab-separated.
const KNOWN: &str = include_str!("known.tsv");

fn known() -> impl Iterator<Item = (DirectiveEntry, Effect)> {
    KNOWN.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let (name, contexts, arguments, effect) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let contexts = contexts.split(',').fold(Context::NONE, |all, name| all.or(context(name)));
        let effect = match effect {
            "later" => Effect::Later,
            "none" => Effect::None,
            _ => Effect::Refused,
        };
        Some((DirectiveEntry { name, contexts, arity: arity(arguments), default: "none", help: "" }, effect))
    })
}

fn context(name: &str) -> Context {
    match name {
        "main" => Context::MAIN,
        "events" => Context::EVENTS,
        "http" => Context::HTTP,
        "server" => Context::SERVER,
        "location" => Context::LOCATION,
        "upstream" => Context::UPSTREAM,
        "if-in-server" => Context::IF_IN_SERVER,
        "if-in-location" => Context::IF_IN_LOCATION,
        "limit_except" => Context::LIMIT_EXCEPT,
        // These stand in blocks that are not entered.
        "mail" | "mail-server" | "stream" | "stream-server" => Context::NONE,
        _ => Context::ANY,
    }
}

fn arity(text: &str) -> Arity {
    let number = |text: &str| text.parse().unwrap_or(0);
    let (is_block, counts) = text.strip_prefix("block ").map_or((false, text), |counts| (true, counts));
    let (min, max) = match counts.split_once('-') {
        Some((min, max)) => (number(min), number(max)),
        None if counts.ends_with('+') => (number(counts.trim_end_matches('+')), u8::MAX),
        None => (number(counts), number(counts)),
    };
    match (counts, is_block) {
        ("on|off", _) => Arity::Flag,
        ("0 1-2", _) => Arity::Between(0, 2),
        ("0 1", _) => Arity::Between(0, 1),
        (_, true) => Arity::Block { min, max },
        (_, false) if max == u8::MAX => Arity::AtLeast(min),
        (_, false) => Arity::Between(min, max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_known_directives_is_read_whole() {
        let all: Vec<_> = known().collect();
        assert_eq!(all.len(), KNOWN.lines().count());
        let find = |name: &str| all.iter().find(|(entry, _)| entry.name == name).expect("listed");
        assert_eq!(find("types_hash_max_size").1, Effect::None);
        assert_eq!(find("grpc_pass").1, Effect::Refused);
        assert_eq!(find("xslt_types").0.arity, Arity::AtLeast(1));
        assert_eq!(find("ssl_preread").0.contexts, Context::NONE);
    }
}
