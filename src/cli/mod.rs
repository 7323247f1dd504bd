//! The command lines: daemun's own, nginx's and uWSGI's.

mod build_facts;
mod nginx;
mod own;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::explain::Asked;
use crate::manual::Manual;

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Serve until told to stop.
    Serve(Settings),
    /// Look at the configuration and say what is wrong with it.
    Check(Settings),
    /// Make a certificate.
    Certify(crate::certify::Certified),
    /// Explain what would become of a request.
    Explain(Settings, Asked),
    /// Send a signal to the instance that runs by this configuration.
    Signal(Settings, Signal),
    /// Print a manual made of the tables.
    Manual(Manual),
    /// Print something and succeed.
    Print(String),
    /// Print something where messages go, as nginx does even when it was asked for, and succeed.
    Tell(String),
    /// Print something and fail.
    Refuse(String),
}

/// `-s signal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Fast stop.
    Stop,
    /// Graceful stop.
    Quit,
    /// Reopen the logs.
    Reopen,
    /// Read the configuration again.
    Reload,
}

/// In which manner the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `daemun run`: everything in one supervision tree, in the foreground.
    Run,
    /// `daemun web`, or by the name `nginx`.
    Web,
    /// `daemun app`, or by the name `uwsgi`.
    App,
}

/// Where the configuration is and what the command line changes in it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The manner.
    pub mode: Mode,
    /// Where relative paths begin.
    pub prefix: PathBuf,
    /// The nginx.conf.
    pub configuration: Option<PathBuf>,
    /// `-g`.
    pub directives: Option<String>,
    /// `-e`; `None` leaves it to the configuration.
    pub error_log: Option<PathBuf>,
    /// uwsgi.ini files.
    pub ini_files: Vec<PathBuf>,
    /// uWSGI's command line; under `daemun run` that of an application that was found without a configuration.
    pub pool_arguments: Vec<String>,
    /// `--dev`: whoever writes the application looks on.
    pub is_for_development: bool,
    /// `-q`: only errors are said.
    pub is_quiet: bool,
    /// `-T`: the configuration is printed.
    pub dumps: bool,
}

/// Reads the command line; the first argument is the name the program was called by.
pub fn parse(arguments: &[OsString]) -> Request {
    let name = arguments.first().map(Path::new).and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let mut rest = Vec::with_capacity(arguments.len());
    for argument in arguments.iter().skip(1) {
        match argument.to_str() {
            Some(text) => rest.push(text.to_owned()),
            None => return Request::Refuse(format!("daemun: argument {argument:?} is not UTF-8")),
        }
    }
    match &*name {
        "nginx" => nginx::parse(&rest),
        "uwsgi" => app(rest),
        _ => match rest.first().map(String::as_str) {
            Some("web") => nginx::parse(&rest[1..]),
            Some("app") => app(rest.split_off(1)),
            _ => own::parse(&rest),
        },
    }
}

/// uWSGI's command line; its grammar is the table of options.
fn app(pool_arguments: Vec<String>) -> Request {
    if pool_arguments.is_empty() {
        return Request::Refuse("daemun app: nothing to serve; try `daemun app --help`".to_owned());
    }
    Request::Serve(Settings {
        mode: Mode::App,
        prefix: std::env::current_dir().unwrap_or_default(),
        configuration: None,
        directives: None,
        error_log: None,
        ini_files: Vec::new(),
        pool_arguments,
        is_for_development: false,
        is_quiet: false,
        dumps: false,
    })
}

/// Name and version.
pub const VERSION: &str = concat!("daemun version: daemun/", env!("CARGO_PKG_VERSION"));
