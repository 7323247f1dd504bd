//! `access_log`: a line for each request.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use daemun_conf::{
    ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Span, parse_milliseconds, parse_size,
};
use daemun_server::config::{Build, HTTP_SERVER_LOCATION};
use daemun_server::log::LogFile;
use daemun_server::{Handler, Module, Outcome, Phase, Request, Template};

use super::format::Format;

/// Named once, in the program's list of modules.
pub static MODULE: Module<AccessLog> = Module {
    name: "access_log",
    directives: &[
        Directive {
            name: "access_log",
            contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION).or(Context::LIMIT_EXCEPT),
            arity: Arity::AtLeast(1),
            default: "logs/access.log combined",
            help: "path [format [buffer=size] [flush=time] [if=condition]] | off: where requests are logged",
            set: set_access_log,
        },
        Directive {
            name: "log_format",
            contexts: Context::HTTP,
            arity: Arity::AtLeast(2),
            default: "combined \"...\"",
            help: "name [escape=default|json|none] text ...: what a line of an access log says",
            set: set_log_format,
        },
    ],
    merge: AccessLog::merge,
    finish: AccessLog::finish,
    is_active: |conf| conf.targets.as_ref().is_some_and(|targets| !targets.is_empty()),
    phases: &[(Phase::Log, Handler::Sync(write_lines))],
    filters: &[],
    variables: &[],
};

/// Settings of one location.
#[derive(Default)]
pub struct AccessLog {
    /// `log_format`s; all of them stand in `http`.
    formats: Vec<Arc<Format>>,
    is_off: bool,
    written: Vec<Written>,
    /// Where lines go, once formats and files are known; inherited whole.
    targets: Option<Arc<[Target]>>,
}

/// One `access_log` as written.
struct Written {
    path: PathBuf,
    format: String,
    condition: Option<Template>,
    span: Span,
}

/// A log that is written to.
struct Target {
    file: LogFile,
    format: Arc<Format>,
    condition: Option<Template>,
}

fn set_access_log(conf: &mut AccessLog, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let path = arguments.text(0)?;
    if path == "off" {
        conf.is_off = true;
        return if arguments.len() == 1 { Ok(()) } else { Err(arguments.invalid_parameter(1)) };
    }
    if path.contains('$') || path.starts_with("syslog:") {
        let what = if path.contains('$') { "a path with variables" } else { "syslog" };
        return Err(ArgumentError::new(Some(0), format!("{what} in \"access_log\" is not supported by daemun yet")));
    }
    let format = if arguments.len() > 1 { arguments.text(1)? } else { "combined" };
    let span = arguments.words().get(1).map_or(arguments.span(), |word| word.span);
    let options = read_options(arguments)?;
    if options.has_flush && !options.is_buffered {
        return Err(ArgumentError::new(None, format!("no buffer is defined for access_log \"{path}\"")));
    }
    if options.is_buffered {
        let message = "\"buffer\" and \"flush\" have no effect in daemun: lines are written together once per turn";
        arguments.report(Diagnostic::notice(arguments.span(), message));
    }
    let condition = options.condition;
    conf.written.push(Written { path: PathBuf::from(path), format: format.to_owned(), condition, span });
    Ok(())
}

/// What follows path and format.
#[derive(Default)]
struct Options {
    is_buffered: bool,
    has_flush: bool,
    condition: Option<Template>,
}

fn read_options(arguments: &Arguments<'_>) -> Result<Options, ArgumentError> {
    let mut options = Options::default();
    for at in 2..arguments.len() {
        match arguments.parameter(at) {
            Some(("buffer", size)) => {
                parse_size(size).filter(|size| *size > 0).ok_or_else(|| invalid(at, "buffer size", size))?;
                options.is_buffered = true;
            }
            Some(("flush", time)) => {
                parse_milliseconds(time)
                    .filter(|time| !time.is_zero())
                    .ok_or_else(|| invalid(at, "flush time", time))?;
                options.has_flush = true;
            }
            Some(("if", condition)) => {
                let parsed = Template::parse(condition);
                options.condition = Some(parsed.map_err(|error| ArgumentError::new(Some(at), error.to_string()))?);
            }
            _ if arguments.text(at)?.starts_with("gzip") => {
                let message = "gzip in \"access_log\" is not supported by daemun yet";
                return Err(ArgumentError::new(Some(at), message));
            }
            _ => return Err(arguments.invalid_parameter(at)),
        }
    }
    Ok(options)
}

fn invalid(argument: usize, what: &str, text: &str) -> ArgumentError {
    ArgumentError::new(Some(argument), format!("invalid {what} \"{text}\""))
}

fn set_log_format(conf: &mut AccessLog, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let format = Format::read(arguments)?;
    let name = format.name();
    if name == "combined" || conf.formats.iter().any(|other| other.name() == name) {
        return Err(ArgumentError::new(Some(0), format!("duplicate \"log_format\" name \"{name}\"")));
    }
    conf.formats.push(Arc::new(format));
    Ok(())
}

impl AccessLog {
    fn merge(parent: &Self, child: &mut Self) {
        if child.formats.is_empty() {
            child.formats.clone_from(&parent.formats);
        }
        if child.written.is_empty() && !child.is_off {
            child.is_off = parent.is_off;
            child.targets.clone_from(&parent.targets);
        }
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        if self.is_off {
            self.targets = Some(Arc::from([]));
            return Ok(());
        }
        // Nobody reads the defaults of `http` itself, and a file that every server overrides is not to be made.
        let serves = build.context().intersects(Context::SERVER.or(Context::LOCATION));
        if self.targets.is_none() && self.written.is_empty() && serves {
            let file = build.log_file(Path::new(DEFAULT_PATH));
            let target = |file| Target { file, format: Arc::new(Format::combined()), condition: None };
            self.targets = Some(file.map(target).into_iter().collect());
        }
        if !self.written.is_empty() {
            let written = std::mem::take(&mut self.written);
            self.targets = Some(self.open_all(written, build)?);
        }
        Ok(())
    }

    fn open_all(&self, written: Vec<Written>, build: &mut Build<'_>) -> Result<Arc<[Target]>, Diagnostic> {
        let mut targets = Vec::new();
        for Written { path, format, condition, span } in written {
            let known = self.formats.iter().find(|known| known.is_called(&format)).cloned();
            let is_combined = format.eq_ignore_ascii_case("combined");
            let Some(known) = known.or_else(|| is_combined.then(|| Arc::new(Format::combined()))) else {
                return Err(Diagnostic::error(span, format!("unknown log format \"{format}\"")));
            };
            targets.extend(build.log_file(&path).map(|file| Target { file, format: known, condition }));
        }
        Ok(targets.into())
    }
}

/// Where requests are logged when nothing is said, below the prefix.
const DEFAULT_PATH: &str = "logs/access.log";

fn write_lines(conf: &AccessLog, request: &mut Request) -> Outcome {
    for target in conf.targets.iter().flat_map(|targets| targets.iter()) {
        if target.wants(request) {
            target.file.append(|lines| target.format.write(request, lines));
        }
    }
    Outcome::Continue
}

impl Target {
    /// Whether `if=` lets the request be logged: not when it is empty or `0`.
    fn wants(&self, request: &Request) -> bool {
        let is_true = |condition: &Template| !matches!(condition.value(request).as_slice(), b"" | b"0");
        self.condition.as_ref().is_none_or(is_true)
    }
}
