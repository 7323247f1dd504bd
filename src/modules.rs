//! THE list of modules. Its order is the order of steps within a phase, and of filters on an answer's way out.

use daemun_proxy as proxy;
use daemun_server::AnyModule;

/// All modules of the program.
pub static MODULES: &[&dyn AnyModule] = &[
    // Tables that others look names up in: closed before whoever asks.
    &proxy::upstream::MODULE,
    // Rewrite.
    // Precontent.
    // Content: a location that passes requests on has no files of its own, so passing stands first; `index` turns
    // a folder into a file before the file is looked for.
    &proxy::uwsgi_pass::MODULE,
    // Filters: charset changes the type that the log and the client see; headers come next so that they are there for a
    // 304 too; not_modified may take the body away; range cuts what is left of it.
    // Log, the last phase.
];
