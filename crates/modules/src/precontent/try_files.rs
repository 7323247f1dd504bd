//! `try_files`: the first file that is there becomes the request's path; the last argument is for when none is.

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::StatusCode;
use daemun_server::config::{WHOLE_PATH, setter};
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Handler, Module, Outcome, Phase, Request, Template};

use crate::open_file::{self, Reason};

/// Named once, in the program's list of modules.
pub static MODULE: Module<TryFiles> = Module {
    name: "try_files",
    directives: &[Directive {
        name: "try_files",
        contexts: Context::SERVER.or(Context::LOCATION),
        arity: Arity::AtLeast(2),
        default: "none",
        help: "file ... uri | =code | @name: the first file that is there answers, else the last argument does",
        set: set_try_files,
    }],
    merge: |_, _| {}, // Not inherited.
    finish: nothing_to_finish,
    is_active: |conf| conf.fallback.is_some(),
    phases: &[(Phase::Precontent, Handler::Sync(try_files))],
    filters: &[],
    variables: &[],
};

/// The `try_files` of one block.
#[derive(Default)]
pub struct TryFiles {
    candidates: Vec<Candidate>,
    /// `None` where nothing is to be tried.
    fallback: Option<Fallback>,
}

struct Candidate {
    /// The path below the root, without the slash that asks for a directory.
    name: Template,
    is_directory: bool,
}

enum Fallback {
    Status(StatusCode),
    /// A path with arguments, or `@name`.
    Uri(Template),
}

fn set_try_files(conf: &mut TryFiles, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    if conf.fallback.is_some() {
        return Err(arguments.duplicate());
    }
    let last = arguments.len().saturating_sub(1);
    for at in 0..last {
        let text = arguments.text(at)?;
        let (text, is_directory) = text.strip_suffix('/').map_or((text, false), |name| (name, true));
        let name = Template::parse(text).map_err(|error| ArgumentError::new(Some(at), error.to_string()))?;
        conf.candidates.push(Candidate { name, is_directory });
    }
    let text = arguments.text(last)?;
    conf.fallback = Some(match text.strip_prefix('=') {
        Some(code) => {
            let status = parse_digits(code).and_then(StatusCode::new);
            let invalid = || ArgumentError::new(Some(last), format!("invalid code \"{text}\""));
            Fallback::Status(status.ok_or_else(invalid)?)
        }
        None => Fallback::Uri(setter::template(arguments, last)?),
    });
    Ok(())
}

fn parse_digits(text: &str) -> Option<u16> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn try_files(conf: &TryFiles, request: &mut Request) -> Outcome {
    // An alias with an expression names a folder here, as it names the file itself elsewhere.
    let is_behind_alias = request.core().alias.is_some() && request.location().prefix_length() == WHOLE_PATH;
    for candidate in &conf.candidates {
        request.has_uri_behind_alias = is_behind_alias;
        let mut uri = candidate.uri(request);
        if uri.is_empty() {
            uri.push(b'/');
        }
        let is_there = is_there(request, &uri, candidate.is_directory);
        if request.is_explained() {
            let (kind, found) =
                (if candidate.is_directory { "folder" } else { "file" }, if is_there { "there" } else { "not there" });
            request.note(format_args!("the {kind} for {} is {found}", String::from_utf8_lossy(&uri)));
        }
        if is_there {
            request.has_uri_behind_alias = is_behind_alias && !candidate.is_directory;
            if !is_behind_alias || !candidate.is_directory {
                request.uri = uri;
            }
            return Outcome::Continue;
        }
    }
    request.has_uri_behind_alias = false;
    match &conf.fallback {
        Some(Fallback::Status(status)) => Outcome::Finish(*status),
        Some(Fallback::Uri(uri)) => go_to(uri.value(request)),
        None => Outcome::Continue,
    }
}

impl Candidate {
    /// The request's path if this one is taken. With `alias`, names are relative to it, unless a variable has put the
    /// location's own prefix before them.
    fn uri(&self, request: &Request) -> Vec<u8> {
        let prefix = request.uri.get(..request.location().prefix_length()).unwrap_or_default();
        let mut uri = prefix.to_vec();
        self.name.render(request, &mut uri);
        let has_prefix_twice = self.name.as_constant().is_none() && uri[prefix.len()..].starts_with(prefix);
        if has_prefix_twice {
            uri.drain(..prefix.len());
        }
        uri
    }
}

fn is_there(request: &Request, uri: &[u8], is_directory: bool) -> bool {
    let looked = open_file::with_path(request, uri, |path| match open_file::look_at(request, path) {
        Ok(facts) => facts.is_directory() == is_directory,
        Err(error) if error.is_missing() => false,
        Err(error) => {
            let shown = path.to_string_lossy();
            request.log(Level::Crit, format_args!("{} \"{shown}\" failed ({})", error.call, Reason(error.errno)));
            false
        }
    });
    looked.unwrap_or(false)
}

fn go_to(mut target: Vec<u8>) -> Outcome {
    if target.first() == Some(&b'@') {
        return Outcome::Named(String::from_utf8_lossy(&target).into_owned());
    }
    let args = match memchr::memchr(b'?', &target) {
        Some(at) => {
            let args = target.split_off(at + 1);
            target.pop();
            args
        }
        None => Vec::new(),
    };
    Outcome::Redirect { uri: target, args: Some(args) }
}
