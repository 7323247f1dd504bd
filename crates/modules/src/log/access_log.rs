//! `access_log`: a line for each request.

use std::ffi::CString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{
    ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Span, parse_milliseconds, parse_seconds,
    parse_size,
};
use daemun_server::config::{Build, HTTP_SERVER_LOCATION, OpenFileCache, setter};
use daemun_server::log::{Buffering, Level, LogFile, Packing, Syslog};
use daemun_server::{Handler, Module, Outcome, Phase, Request, Template, inherit};
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::io::Errno;

use super::format::Format;
use crate::open_file::{self, OpenError, Reason};
use crate::open_file_cache::{LogFileCache, open_log};

/// Named once, in the program's list of modules.
pub static MODULE: Module<AccessLog> = Module {
    name: "access_log",
    directives: &[
        Directive {
            name: "access_log",
            contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION).or(Context::LIMIT_EXCEPT),
            arity: Arity::AtLeast(1),
            default: "logs/access.log combined",
            help: "path | syslog:server=address[,parameter=value] [format [buffer=size] [gzip[=level]] [flush=time] [if=condition]] | off: where requests are logged",
            set: set_access_log,
        },
        Directive {
            name: "open_log_file_cache",
            contexts: HTTP_SERVER_LOCATION,
            arity: Arity::Between(1, 4),
            default: "off",
            help: "off | max=N [inactive=time] [min_uses=N] [valid=time]: keeps logs with variables in their paths open",
            set: set_file_cache,
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
    /// `open_log_file_cache`; the inner `None` is `off`.
    file_cache: Option<Option<LogFileCache>>,
    /// Where lines go, once formats and files are known; inherited whole.
    targets: Option<Arc<[Target]>>,
}

/// One `access_log` as written.
struct Written {
    place: WrittenPlace,
    format: String,
    condition: Option<Template>,
    buffering: Option<Buffering>,
    span: Span,
}

enum WrittenPlace {
    File(PathBuf),
    Path(Template),
    Syslog(Syslog),
}

/// A log that is written to.
struct Target {
    place: Place,
    format: Arc<Format>,
    condition: Option<Template>,
}

enum Place {
    File(LogFile),
    /// A file for each value of the variables in its path.
    Path(Template),
    Syslog(Syslog),
}

fn set_access_log(conf: &mut AccessLog, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let path = arguments.text(0)?;
    if path == "off" {
        conf.is_off = true;
        return if arguments.len() == 1 { Ok(()) } else { Err(arguments.invalid_parameter(1)) };
    }
    let place = match path.strip_prefix("syslog:") {
        Some(server) => {
            WrittenPlace::Syslog(Syslog::parse(server).map_err(|error| ArgumentError::new(Some(0), error))?)
        }
        None if path.contains('$') => WrittenPlace::Path(setter::template(arguments, 0)?),
        None => WrittenPlace::File(PathBuf::from(path)),
    };
    let format = if arguments.len() > 1 { arguments.text(1)? } else { "combined" };
    let span = arguments.words().get(1).map_or(arguments.span(), |word| word.span);
    let options = read_options(arguments)?;
    if options.flush.is_some() && options.buffer.is_none() {
        return Err(ArgumentError::new(None, format!("no buffer is defined for access_log \"{path}\"")));
    }
    match place {
        WrittenPlace::Path(_) if options.buffer.is_some() => {
            return Err(ArgumentError::new(None, "buffered logs cannot have variables in name"));
        }
        WrittenPlace::Syslog(_) if options.buffer.is_some() => {
            return Err(ArgumentError::new(None, "logs to syslog cannot be buffered"));
        }
        _ => {}
    }
    let buffering = options.buffer.map(|octets| Buffering {
        octets,
        flush: options.flush,
        packing: options.gzip.map(|level| Packing { level, pack: gzip }),
    });
    conf.written.push(Written { place, format: format.to_owned(), condition: options.condition, buffering, span });
    Ok(())
}

/// What follows path and format.
#[derive(Default)]
struct Options {
    /// Octets.
    buffer: Option<usize>,
    flush: Option<Duration>,
    /// Level of compression.
    gzip: Option<u32>,
    condition: Option<Template>,
}

fn read_options(arguments: &mut Arguments<'_>) -> Result<Options, ArgumentError> {
    let mut options = Options::default();
    for at in 2..arguments.len() {
        match arguments.parameter(at) {
            Some(("buffer", text)) => {
                let size = parse_size(text).and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
                options.buffer = Some(size.ok_or_else(|| invalid(at, "buffer size", text))?);
            }
            Some(("flush", text)) => {
                let time = parse_milliseconds(text).filter(|time| !time.is_zero());
                options.flush = Some(time.ok_or_else(|| invalid(at, "flush time", text))?);
            }
            Some(("if", condition)) => {
                let parsed = Template::parse(condition);
                options.condition = Some(parsed.map_err(|error| ArgumentError::new(Some(at), error.to_string()))?);
            }
            Some(("gzip", text)) => {
                let level = text.parse().ok().filter(|level| (1..=9).contains(level));
                options.gzip = Some(level.ok_or_else(|| invalid(at, "compression level", text))?);
                options.buffer.get_or_insert(GZIP_BUFFER_OCTETS);
            }
            _ if arguments.text(at)? == "gzip" => {
                options.gzip = Some(1);
                options.buffer.get_or_insert(GZIP_BUFFER_OCTETS);
            }
            _ => return Err(arguments.invalid_parameter(at)),
        }
    }
    Ok(options)
}

/// Lines as a member of a gzip file of their own; members one after the other are a gzip file again.
fn gzip(lines: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::new(level));
    // A vector takes everything.
    let _ = encoder.write_all(lines);
    encoder.finish().unwrap_or_default()
}

/// Octets that `gzip` gathers where nothing is said.
const GZIP_BUFFER_OCTETS: usize = 64 * 1024;

fn invalid(argument: usize, what: &str, text: &str) -> ArgumentError {
    ArgumentError::new(Some(argument), format!("invalid {what} \"{text}\""))
}

fn set_file_cache(conf: &mut AccessLog, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let mut cache = LogFileCache {
        settings: OpenFileCache { files_max: 0, inactive: Duration::from_secs(10) },
        valid: Duration::from_secs(60),
        uses_min: 1,
    };
    for at in 0..arguments.len() {
        let text = arguments.text(at)?;
        if text == "off" {
            return arguments.set_once(&mut conf.file_cache, None);
        }
        let is_read = match arguments.parameter(at) {
            Some(("max", number)) => put(&mut cache.settings.files_max, number.parse().ok()),
            Some(("min_uses", number)) => put(&mut cache.uses_min, number.parse().ok()),
            Some(("inactive", time)) => put(&mut cache.settings.inactive, parse_seconds(time)),
            Some(("valid", time)) => put(&mut cache.valid, parse_seconds(time)),
            _ => false,
        };
        if !is_read {
            let message = format!("invalid \"open_log_file_cache\" parameter \"{text}\"");
            return Err(ArgumentError::new(Some(at), message));
        }
    }
    if cache.settings.files_max == 0 {
        return Err(ArgumentError::new(None, "\"open_log_file_cache\" must have the \"max\" parameter"));
    }
    arguments.set_once(&mut conf.file_cache, Some(cache))
}

fn put<T>(field: &mut T, value: Option<T>) -> bool {
    value.map(|value| *field = value).is_some()
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
        inherit!(parent, child; file_cache);
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
            let target =
                |file| Target { place: Place::File(file), format: Arc::new(Format::combined()), condition: None };
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
        for Written { place, format, condition, buffering, span } in written {
            let known = self.formats.iter().find(|known| known.is_called(&format)).cloned();
            let is_combined = format.eq_ignore_ascii_case("combined");
            let Some(format) = known.or_else(|| is_combined.then(|| Arc::new(Format::combined()))) else {
                return Err(Diagnostic::error(span, format!("unknown log format \"{format}\"")));
            };
            let place = match place {
                WrittenPlace::File(path) => {
                    let file = build.log_file(&path);
                    if let Some(buffering) = buffering {
                        buffer(&path, file.as_ref(), buffering, span, build)?;
                    }
                    file.map(Place::File)
                }
                WrittenPlace::Path(mut path) => {
                    build.make_absolute(&mut path);
                    Some(Place::Path(path))
                }
                WrittenPlace::Syslog(server) => Some(Place::Syslog(server)),
            };
            targets.extend(place.map(|place| Target { place, format, condition }));
        }
        Ok(targets.into())
    }
}

/// How the logs so far gather their lines, by path.
#[derive(Clone, Default)]
struct KnownBuffers(Vec<(PathBuf, Buffering)>);

/// Has a log gather its lines. It does so in one way, wherever it is named.
fn buffer(
    path: &Path,
    file: Option<&LogFile>,
    buffering: Buffering,
    span: Span,
    build: &mut Build<'_>,
) -> Result<(), Diagnostic> {
    let mut known = build.published::<KnownBuffers>().cloned().unwrap_or_default();
    if known.0.iter().any(|(other, way)| other == path && !way.is_same(&buffering)) {
        let message = format!("access_log \"{}\" already defined with conflicting parameters", path.display());
        return Err(Diagnostic::error(span, message));
    }
    if let Some(file) = file {
        file.set_buffering(buffering.clone());
    }
    known.0.push((path.to_owned(), buffering));
    build.publish(known);
    Ok(())
}

/// Where requests are logged when nothing is said, below the prefix.
const DEFAULT_PATH: &str = "logs/access.log";

fn write_lines(conf: &AccessLog, request: &mut Request) -> Outcome {
    for target in conf.targets.iter().flat_map(|targets| targets.iter()) {
        if !target.wants(request) {
            continue;
        }
        match &target.place {
            Place::File(file) => file.append(|lines| {
                target.format.write(request, lines);
                lines.push(b'\n');
            }),
            Place::Path(path) => {
                let mut line = Vec::new();
                target.format.write(request, &mut line);
                line.push(b'\n');
                write_to_path(path, conf.file_cache.flatten().as_ref(), &line, request);
            }
            Place::Syslog(server) => {
                let mut message = Vec::new();
                target.format.write(request, &mut message);
                if server.send(None, &message).is_err() {
                    request.log(Level::Warn, format_args!("send() to syslog failed"));
                }
            }
        }
    }
    Outcome::Continue
}

/// Writes a line to the file that the request's variables name, if the request's root is there: whoever may invent
/// names of hosts is not to make files for each.
fn write_to_path(path: &Template, cache: Option<&LogFileCache>, line: &[u8], request: &Request) {
    let mut root = Vec::new();
    request.document_root(&mut root);
    let Ok(root) = CString::new(root) else { return };
    let missing = match open_file::look_at(request, &root) {
        Ok(facts) if facts.is_directory() => None,
        Ok(_) => Some(Errno::NOTDIR),
        Err(error) => Some(error.errno),
    };
    if let Some(errno) = missing {
        let (root, reason) = (root.to_string_lossy(), Reason(errno));
        request.log(Level::Error, format_args!("testing \"{root}\" existence failed ({reason})"));
        return;
    }
    let Ok(path) = CString::new(path.value(request)) else { return };
    let written = open_log(cache, &path).and_then(|file| {
        rustix::io::write(&file.descriptor, line).map_err(|errno| OpenError { errno, call: "write()" })
    });
    if let Err(error) = written {
        let (path, reason) = (path.to_string_lossy(), Reason(error.errno));
        request.log(Level::Crit, format_args!("{} \"{path}\" failed ({reason})", error.call));
    }
}

impl Target {
    /// Whether `if=` lets the request be logged: not when it is empty or `0`.
    fn wants(&self, request: &Request) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.is_true(request))
    }
}
