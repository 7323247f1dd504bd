//! nginx's command line: `-c -p -e -g -t -T -q -s -v -V -h -?`, values beside the letter or behind it.

use std::path::PathBuf;

use super::build_facts;
use super::{Mode, Request, Settings, Signal, VERSION};
use crate::paths;

/// Reads nginx's command line.
pub fn parse(arguments: &[String]) -> Request {
    read(arguments).unwrap_or_else(|message| Request::Refuse(format!("nginx: {message}")))
}

#[derive(Default)]
struct Options {
    configuration: Option<PathBuf>,
    prefix: Option<PathBuf>,
    error_log: Option<PathBuf>,
    directives: Option<String>,
    signal: Option<Signal>,
    tests: bool,
    dumps: bool,
    is_quiet: bool,
    version: Option<Version>,
}

enum Version {
    Short,
    Long,
    Help,
}

/// # Errors
/// What is wrong with the command line, in nginx's words.
fn read(arguments: &[String]) -> Result<Request, String> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(letters) = argument.strip_prefix('-') else {
            return Err(format!("invalid option: \"{argument}\""));
        };
        for (at, letter) in letters.char_indices() {
            let attached = &argument[1 + at + letter.len_utf8()..];
            if !"cpegs".contains(letter) {
                options.flag(letter)?;
                continue;
            }
            let value = if attached.is_empty() { rest.next().cloned() } else { Some(attached.to_owned()) };
            options.value(letter, value.ok_or_else(|| needs(letter))?)?;
            break;
        }
    }
    Ok(options.request())
}

impl Options {
    fn flag(&mut self, letter: char) -> Result<(), String> {
        match letter {
            '?' | 'h' => self.version = Some(Version::Help),
            'v' => self.version = Some(Version::Short),
            'V' => self.version = Some(Version::Long),
            't' => self.tests = true,
            'T' => {
                self.tests = true;
                self.dumps = true;
            }
            'q' => self.is_quiet = true,
            other => return Err(format!("invalid option: \"{other}\"")),
        }
        Ok(())
    }

    fn value(&mut self, letter: char, value: String) -> Result<(), String> {
        match letter {
            'c' => self.configuration = Some(value.into()),
            'p' => self.prefix = Some(value.into()),
            'e' => self.error_log = Some(value.into()),
            'g' => self.directives = Some(value),
            _ => {
                let signal = SIGNALS.iter().find(|(name, _)| *name == value).map(|(_, signal)| *signal);
                self.signal = Some(signal.ok_or_else(|| format!("invalid option: \"-s {value}\""))?);
            }
        }
        Ok(())
    }

    fn request(self) -> Request {
        match self.version {
            Some(Version::Short) => return Request::Tell(NGINX_VERSION.to_owned()),
            Some(Version::Long) => {
                let facts = build_facts::configure_arguments();
                return Request::Tell(format!("{NGINX_VERSION}\n{VERSION}\n{TLS}\n{facts}"));
            }
            Some(Version::Help) => return Request::Tell(format!("{NGINX_VERSION}\n{HELP}")),
            None => {}
        }
        let prefix = paths::absolute(&self.prefix.clone().unwrap_or_else(|| PathBuf::from(paths::DEFAULT_PREFIX)));
        let default = if self.prefix.is_some() {
            prefix.join("conf/nginx.conf")
        } else {
            PathBuf::from(paths::DEFAULT_CONFIGURATION)
        };
        let configuration = self.configuration.map_or(default, |path| prefix.join(path));
        let settings = Settings {
            mode: Mode::Web,
            prefix,
            configuration: Some(configuration),
            directives: self.directives,
            error_log: self.error_log,
            ini_files: Vec::new(),
            pool_arguments: Vec::new(),
            is_for_development: false,
            is_quiet: self.is_quiet,
            dumps: self.dumps,
        };
        match self.signal {
            Some(signal) => Request::Signal(settings, signal),
            None if self.tests => Request::Check(settings),
            None => Request::Serve(settings),
        }
    }
}

fn needs(letter: char) -> String {
    let what = match letter {
        'c' | 'e' => "file name",
        'p' => "directory name",
        _ => "parameter",
    };
    format!("option \"-{letter}\" requires {what}")
}

const SIGNALS: [(&str, Signal); 4] =
    [("stop", Signal::Stop), ("quit", Signal::Quit), ("reopen", Signal::Reopen), ("reload", Signal::Reload)];

/// The version whose behaviour this is, in the form that scripts look for.
const NGINX_VERSION: &str = "nginx version: nginx/1.31.4";

/// What TLS is spoken by, in the form that scripts look for.
const TLS: &str = "built with rustls 0.23 on aws-lc-rs, configured as with OpenSSL 3.5.0\nTLS SNI support enabled";

const HELP: &str = "\
Usage: daemun web [-?hvVtTq] [-s signal] [-p prefix] [-e filename] [-c filename] [-g directives]

Options:
  -?,-h         : this help
  -v            : show version and exit
  -V            : show version and configure options then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path
  -e filename   : set error log file
  -c filename   : set configuration file
  -g directives : set global directives out of configuration file";
