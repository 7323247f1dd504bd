//! THE list of modules. Its order is the order of steps within a phase, and of filters on an answer's way out.

use daemun_modules as modules;
use daemun_proxy as proxy;
use daemun_server::AnyModule;

/// All modules of the program.
pub static MODULES: &[&dyn AnyModule] = &[
    // Tables that others look names up in: closed before whoever asks.
    &proxy::upstream::MODULE,
    // Rewrite.
    &modules::rewrite::return_code::MODULE,
    // Precontent.
    &modules::precontent::try_files::MODULE,
    // Content: a location that passes requests on has no files of its own, so passing stands first; `index` turns
    // a folder into a file before the file is looked for.
    &proxy::uwsgi_pass::MODULE,
    &modules::content::index::MODULE,
    &modules::content::static_file::MODULE,
    // Filters: charset changes the type that the log and the client see; headers come next so that they are there for a
    // 304 too; not_modified may take the body away; range cuts what is left of it.
    &modules::filter::charset::MODULE,
    &modules::filter::headers::MODULE,
    &modules::filter::not_modified::MODULE,
    &modules::filter::range::MODULE,
    // Log, the last phase.
    &modules::log::access_log::MODULE,
];
