//! An application in a folder that says nothing about how it is to be served.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// uWSGI's command line for the application in `folder`; `None` if none is to be seen.
///
/// A folder with Django's `manage.py` has the WSGI module of its settings; any other the first file of [`FILES`] in which one of
/// [`CALLABLES`] is made. The virtualenv is the folder's own, or the one that is active.
pub fn find(folder: &Path, is_for_development: bool) -> Option<Vec<String>> {
    let module = django(folder).or_else(|| module(folder))?;
    // Whoever writes an application shows it to nobody yet.
    let host = if is_for_development { "127.0.0.1" } else { "" };
    let port = std::env::var("PORT").ok().and_then(|port| port.parse::<u16>().ok()).unwrap_or(DEFAULT_PORT);
    let mut arguments = vec![
        format!("--chdir={}", folder.display()),
        format!("--module={module}"),
        format!("--http={host}:{port}"),
        "--master".to_owned(),
    ];
    arguments.extend(virtualenv(folder).map(|home| format!("--home={}", home.display())));
    arguments.push("--threads=auto".to_owned());
    if !is_for_development {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        arguments.push(format!("--processes={processors}"));
    }
    Some(arguments)
}

/// `NAME.wsgi`, where manage.py says `NAME.settings`.
fn django(folder: &Path) -> Option<String> {
    let text = read(&folder.join("manage.py"))?;
    let behind = text.split_once("DJANGO_SETTINGS_MODULE")?.1;
    let (_, quoted) = behind.split_once(',')?;
    let settings = quoted.split(['"', '\'']).nth(1)?;
    // Settings may be a package of their own: site.settings.dev.
    let parts: Vec<&str> = settings.split('.').collect();
    let candidates = (1..parts.len()).rev().map(|count| format!("{}.wsgi", parts[..count].join(".")));
    candidates.into_iter().find(|module| folder.join(format!("{}.py", module.replace('.', "/"))).is_file())
}

/// `FILE:CALLABLE`.
fn module(folder: &Path) -> Option<String> {
    FILES.iter().find_map(|file| {
        let text = read(&folder.join(format!("{file}.py")))?;
        let callable = CALLABLES.iter().find(|callable| is_made(&text, callable))?;
        Some(format!("{file}:{callable}"))
    })
}

/// Whether the text assigns or defines the name at its outermost level, or brings it by an import.
fn is_made(text: &str, callable: &str) -> bool {
    let name = callable.trim_end_matches("()");
    text.lines().any(|line| {
        let is_assigned = line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['=', ':']));
        let is_defined = line.strip_prefix("def ").is_some_and(|rest| {
            rest.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('('))
        });
        let is_imported = line.starts_with("from ") && line.split([' ', ',']).any(|word| word == name);
        is_imported || if callable.ends_with("()") { is_defined } else { is_assigned || is_defined }
    })
}

fn virtualenv(folder: &Path) -> Option<PathBuf> {
    let own = [".venv", "venv", "env"].map(|name| folder.join(name));
    let active = std::env::var_os("VIRTUAL_ENV").filter(|path| path != OsStr::new("")).map(PathBuf::from);
    own.into_iter().chain(active).find(|home| home.join("bin/python").exists())
}

fn read(path: &Path) -> Option<String> {
    let text =
        fs::metadata(path).ok().filter(|facts| facts.len() <= FILE_BYTES_MAX).and_then(|_| fs::read(path).ok())?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Modules in which applications are usually made, in the order in which they are looked at.
const FILES: [&str; 6] = ["wsgi", "app", "application", "main", "server", "site"];

/// What applications are usually called; one with brackets makes one when it is called.
const CALLABLES: [&str; 4] = ["application", "app", "create_app()", "make_app()"];

const DEFAULT_PORT: u16 = 8000;

/// Larger files are not looked at.
const FILE_BYTES_MAX: u64 = 1 << 20;
