//! `cgi_pass`: the request is answered by a program that is started for it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive};
use daemun_http::StatusCode;
use daemun_server::Pattern;
use daemun_server::accel;
use daemun_server::config::{Build, HTTP_SERVER_LOCATION, setter};
use daemun_server::fetch::IgnoredHeaders;
use daemun_server::log::Level;
use daemun_server::phase::Origin;
use daemun_server::variable::Variable;
use daemun_server::{Handler, LocalFuture, Module, Outcome, Phase, Request, Response, Template};
use rustix::fs::Access;

use crate::answer::{self, AnswerFailure};
use crate::conversation::{Body, Conversation};
use crate::environment::{self, Parameter, Telling};
use crate::limits::{HEAD_BYTES, PROCESSES, QUEUE_TIMEOUT, READ_TIMEOUT};
use crate::mounts::{Conventions, MountSettings};
use crate::places::Places;
use crate::process::{self, Input, Process, Program};
use crate::script::{self, NoScript, Script};

/// Named once, in the program's list of modules.
pub static MODULE: Module<CgiPass> = Module {
    name: "http_cgi",
    directives: DIRECTIVES,
    merge: CgiPass::merge,
    finish: CgiPass::finish,
    is_active: |pass| !matches!(pass.target, None | Some(Target::Off)),
    phases: &[(Phase::Content, Handler::Origin(ORIGIN))],
    filters: &[],
    variables: &[
        Variable {
            name: "cgi_path_info",
            evaluate: |request, _, out| of_script(request, out, |script| &script.path_info),
        },
        Variable {
            name: "cgi_script_filename",
            evaluate: |request, _, out| of_script(request, out, |script| script.path.as_os_str().as_encoded_bytes()),
        },
        Variable {
            name: "cgi_script_name",
            evaluate: |request, _, out| of_script(request, out, |script| &script.name),
        },
    ],
};

const ORIGIN: Origin<CgiPass> = Origin {
    ask: cgi_pass,
    key: |_, _, _| false,
    accept: |_, head, _| Outcome::Respond(Response::of_origin(head.as_ref().clone())),
};

/// Settings of one location. An unset field is inherited from the enclosing block; `cgi_pass` never is.
#[derive(Default)]
pub struct CgiPass {
    target: Option<Target>,
    parameters: Option<Arc<Vec<Parameter>>>,
    split: Option<Pattern>,
    index: Option<Vec<String>>,
    extensions: Option<Vec<String>>,
    interpreters: Option<Arc<Vec<Interpreter>>>,
    working_directory: Option<Template>,
    pass_request_headers: Option<bool>,
    pass_request_body: Option<bool>,
    request_buffering: Option<bool>,
    read_timeout: Option<Duration>,
    queue_timeout: Option<Duration>,
    buffer_size: Option<u64>,
    max_processes: Option<u64>,
    places: Option<Arc<Places>>,
    /// Octets of the path that the location's name takes.
    prefix_length: usize,
}

/// Who answers.
enum Target {
    /// Nobody is started.
    Off,
    /// What the path names below `root` or `alias`.
    Root,
    /// One program, whatever the path.
    Program(Template),
}

/// `cgi_interpreter`.
struct Interpreter {
    /// How the names of its scripts end.
    ending: String,
    /// The program.
    path: PathBuf,
    /// What stands between its name and the script's.
    arguments: Vec<PathBuf>,
}

impl CgiPass {
    fn merge(parent: &Self, child: &mut Self) {
        daemun_server::inherit!(parent, child;
            parameters, split, index, extensions, interpreters, working_directory, pass_request_headers, pass_request_body, request_buffering, read_timeout,
            queue_timeout, buffer_size, places);
    }

    fn finish(&mut self, build: &mut Build<'_>) -> Result<(), Diagnostic> {
        self.prefix_length = build.prefix_length();
        if let Some(Target::Program(path)) = &mut self.target {
            build.make_absolute(path);
        }
        if let Some(number) = self.max_processes {
            self.places = Some(Places::new(usize::try_from(number).unwrap_or(usize::MAX)));
        }
        // Made in the outermost block, so that all locations share it that say nothing else.
        self.places.get_or_insert_with(|| Places::new(PROCESSES));
        Ok(())
    }

    fn script(&self, request: &Request) -> Result<Script, NoScript> {
        let index = self.index.as_deref().unwrap_or_default();
        let script = match &self.target {
            Some(Target::Program(path)) => {
                script::at(path.value(request), &request.uri, self.split.as_ref(), self.prefix_length)?
            }
            _ => script::below_root(request, self.split.as_ref(), index)?,
        };
        self.check_ending(&script.path)?;
        Ok(script)
    }

    /// What the options of a pool say of programs.
    pub(crate) fn of_mounts(settings: &MountSettings) -> Self {
        let helper = |(ending, path): &(String, PathBuf)| Interpreter {
            ending: ending.clone(),
            path: path.clone(),
            arguments: Vec::new(),
        };
        Self {
            extensions: Some(settings.allowed_endings.clone()).filter(|list| !list.is_empty()),
            interpreters: Some(Arc::new(settings.helpers.iter().map(helper).collect())),
            read_timeout: settings.timeout,
            buffer_size: settings.buffer_size,
            places: Some(Places::new(PROCESSES)),
            ..Self::default()
        }
    }

    /// Whether a file of this name may be a program.
    pub(crate) fn check_ending(&self, path: &Path) -> Result<(), NoScript> {
        let name = path.to_string_lossy();
        match &self.extensions {
            Some(list) if !list.iter().any(|ending| name.ends_with(ending.as_str())) => {
                Err(NoScript::Forbidden { path: path.to_owned(), reason: "no program's name ends so here" })
            }
            _ => Ok(()),
        }
    }

    fn passes_body(&self) -> bool {
        self.pass_request_body.unwrap_or(true)
    }

    /// How `script` is started.
    fn program(
        &self,
        script: &Script,
        conventions: Option<&Conventions>,
        request: &Request,
    ) -> Result<Program, NoScript> {
        let name = script.path.to_string_lossy();
        let interpreter = self.interpreters.iter().flat_map(|list| list.iter()).find(|one| name.ends_with(&one.ending));
        let (path, arguments) = match interpreter {
            Some(interpreter) => {
                let arguments = interpreter.arguments.iter().chain([&script.path]).cloned().collect();
                (interpreter.path.clone(), arguments)
            }
            None if rustix::fs::access(&script.path, Access::EXEC_OK).is_ok() => (script.path.clone(), Vec::new()),
            None => return Err(NoScript::Forbidden { path: script.path.clone(), reason: "it is not executable" }),
        };
        let folder = match &self.working_directory {
            Some(folder) => PathBuf::from(String::from_utf8_lossy(&folder.value(request)).into_owned()),
            None => process::folder_of(&script.path),
        };
        let telling = Telling {
            parameters: self.parameters.as_deref().map(Vec::as_slice).unwrap_or_default(),
            passes_fields: self.pass_request_headers.unwrap_or(true),
            passes_body: self.passes_body(),
            conventions,
        };
        let environment = environment::variables(request, script, &telling);
        Ok(Program { path, arguments, environment, folder })
    }
}

fn of_script(request: &Request, out: &mut Vec<u8>, part: impl Fn(&Script) -> &[u8]) -> bool {
    let Some(script) = request.kept::<RefCell<Script>>() else { return false };
    out.extend_from_slice(part(&script.borrow()));
    true
}

/// Keeps the script for the variables; after a local redirect it is another.
fn remember(script: &Script, request: &Request) {
    if let Some(kept) = request.kept::<RefCell<Script>>() {
        kept.replace(script.clone());
    } else {
        request.keep(RefCell::new(script.clone()));
    }
}

fn cgi_pass<'a>(pass: &'a CgiPass, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
    let found = pass.script(request);
    Box::pin(async move {
        match run(pass, found, None, request).await {
            Outcome::Respond(response) => accel::obey(response, IgnoredHeaders::default(), request),
            outcome => outcome,
        }
    })
}

/// Has the program that was found answer the request.
pub(crate) async fn run(
    pass: &CgiPass,
    found: Result<Script, NoScript>,
    conventions: Option<&Conventions>,
    request: &mut Request,
) -> Outcome {
    let script = match found {
        Ok(script) => script,
        Err(NoScript::Folder(_)) => return slash(request),
        Err(error) => return refuse(&error, request),
    };
    let with_body = pass.passes_body();
    // A script is told the length before it begins: without it, all of the body has to be here.
    let is_streamed = !pass.request_buffering.unwrap_or(true) && request.body.length().is_some();
    if with_body
        && !is_streamed
        && let Err(outcome) = request.read_body(None).await
    {
        return outcome;
    }
    remember(&script, request);
    let program = match pass.program(&script, conventions, request) {
        Ok(program) => program,
        Err(error) => return refuse(&error, request),
    };
    if request.is_explained() {
        let words = std::iter::once(&program.path).chain(&program.arguments);
        let line: Vec<_> = words.map(|word| word.display().to_string()).collect();
        let folder = program.folder.display();
        return request.answered_by(format_args!("the program {} would be started in {folder}", line.join(" ")));
    }
    let started = start(pass, &program, with_body, request).await;
    let conversation = match started {
        Ok(conversation) => conversation,
        Err(outcome) => return outcome,
    };
    let head_bytes = pass.buffer_size.and_then(|size| usize::try_from(size).ok()).unwrap_or(HEAD_BYTES);
    match answer::read(conversation, script.is_nph(), head_bytes, request).await {
        Ok(outcome) => outcome,
        Err(AnswerFailure::RequestBody(error)) => request.refuse_body(&error),
        Err(error) => {
            request.log(Level::Error, format_args!("{error}, script: \"{}\"", script.path.display()));
            Outcome::Finish(error.status())
        }
    }
}

async fn start(
    pass: &CgiPass,
    program: &Program,
    with_body: bool,
    request: &mut Request,
) -> Result<Conversation, Outcome> {
    let Some(places) = &pass.places else { return Err(Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR)) };
    let place = places.take(pass.queue_timeout.unwrap_or(QUEUE_TIMEOUT)).await.map_err(|error| {
        request.log(Level::Error, format_args!("{error}, script: \"{}\"", program.path.display()));
        Outcome::Finish(StatusCode::SERVICE_UNAVAILABLE)
    })?;
    process::prepare_thread();
    let started = body_of(request, with_body)
        .and_then(|(input, body)| Process::start(program, input, place).map(|(process, pipes)| (process, pipes, body)));
    let (process, pipes, body) = started.map_err(|error| {
        request.log(Level::Error, format_args!("starting \"{}\" failed ({error})", program.path.display()));
        Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    let timeout = pass.read_timeout.unwrap_or(READ_TIMEOUT);
    Ok(Conversation::new(process, pipes, body, request.log_handle(), timeout))
}

/// A body in a file is the program's standard input itself; one in memory goes through a pipe, and so does one that still comes.
fn body_of(request: &mut Request, with_body: bool) -> std::io::Result<(Input, Body)> {
    let nothing = Body::Here(Vec::new());
    if !with_body {
        return Ok((Input::Nothing, nothing));
    }
    if let Some(file) = request.body.in_file() {
        let descriptor = file.descriptor.try_clone()?;
        rustix::fs::seek(&descriptor, rustix::fs::SeekFrom::Start(0))?;
        return Ok((Input::File(descriptor), nothing));
    }
    if request.body.is_unread()
        && let Some(passage) = request.share_body()
    {
        return Ok((Input::Pipe, Body::Coming(passage)));
    }
    let octets = request.body.in_memory().unwrap_or_default();
    Ok(if octets.is_empty() { (Input::Nothing, nothing) } else { (Input::Pipe, Body::Here(octets.to_vec())) })
}

fn refuse(error: &NoScript, request: &Request) -> Outcome {
    request.log(Level::Error, format_args!("{error}"));
    Outcome::Finish(error.status())
}

/// The same path with a slash behind it.
fn slash(request: &Request) -> Outcome {
    let mut target = Vec::with_capacity(request.uri.len() + request.args.len() + 2);
    daemun_http::target::escape_uri(&request.uri, &mut target);
    target.push(b'/');
    if !request.args.is_empty() {
        target.push(b'?');
        target.extend_from_slice(&request.args);
    }
    let mut response = Response::new(StatusCode::MOVED_PERMANENTLY);
    response.head.headers.append_known(daemun_http::HeaderId::Location, &target);
    Outcome::Respond(response)
}

const LOCATION_AND_IF: Context = Context::LOCATION.or(Context::IF_IN_LOCATION);

static DIRECTIVES: &[Directive<CgiPass>] = &[
    Directive {
        name: "cgi_pass",
        contexts: LOCATION_AND_IF,
        arity: Arity::Exactly(1),
        default: "off",
        help: "on|off|path: a program is started for each request: with `on` the executable file that the path names below root or alias, else the one at `path`, which may have variables",
        set: set_pass,
    },
    Directive {
        name: "cgi_param",
        contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_LOCATION),
        arity: Arity::Between(2, 3),
        default: "none",
        help: "name value [if_not_empty]: a variable of the program's environment, beside those of RFC 3875 or in the place of one",
        set: set_param,
    },
    Directive {
        name: "cgi_split_path_info",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "none",
        help: "regex: its first group is SCRIPT_NAME, its second PATH_INFO; without it the file system tells, or the location's name",
        set: |pass, arguments| {
            let pattern = Pattern::new(arguments.text(0)?, false)
                .map_err(|error| ArgumentError::new(Some(0), error.to_string()))?;
            arguments.set_once(&mut pass.split, pattern)
        },
    },
    Directive {
        name: "cgi_index",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(1),
        default: "none",
        help: "name ...: the program for a path that names a folder, the first that is there",
        set: |pass, arguments| {
            let names = texts(arguments, 0);
            arguments.set_once(&mut pass.index, names)
        },
    },
    Directive {
        name: "cgi_extension",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(1),
        default: "none",
        help: "ending ...: how names of programs must end, as .cgi; other files are refused with 403. Without it every executable file is a program",
        set: |pass, arguments| {
            let endings = texts(arguments, 0);
            arguments.set_once(&mut pass.extensions, endings)
        },
    },
    Directive {
        name: "cgi_interpreter",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::AtLeast(2),
        default: "none",
        help: "ending program [argument ...]: what runs files of this ending, which need not be executable then",
        set: set_interpreter,
    },
    Directive {
        name: "cgi_working_directory",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "the program's own",
        help: "path: the folder that programs begin in; may have variables",
        set: |pass, arguments| {
            let template = setter::template(arguments, 0)?;
            arguments.set_once(&mut pass.working_directory, template)
        },
    },
    flag(
        "cgi_pass_request_headers",
        "on|off: whether the request's fields become HTTP_ variables",
        |pass, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut pass.pass_request_headers, flag)
        },
    ),
    flag(
        "cgi_pass_request_body",
        "on|off: whether the request's body is the program's standard input",
        |pass, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut pass.pass_request_body, flag)
        },
    ),
    flag(
        "cgi_request_buffering",
        "on|off: whether a program is started only when all of the request's body is here; one of unknown length always is",
        |pass, arguments| {
            let flag = arguments.flag(0)?;
            arguments.set_once(&mut pass.request_buffering, flag)
        },
    ),
    Directive {
        name: "cgi_read_timeout",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "60s",
        help: "time: how long a program may neither say nor take anything; then its process group is ended and the client gets 504",
        set: |pass, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut pass.read_timeout, time)
        },
    },
    Directive {
        name: "cgi_max_processes",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "64",
        help: "number: programs at once in all locations below this block that do not say otherwise; further requests wait",
        set: |pass, arguments| {
            let number = arguments.number(0, 1..=65_536)?;
            arguments.set_once(&mut pass.max_processes, number)
        },
    },
    Directive {
        name: "cgi_queue_timeout",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "10s",
        help: "time: how long a request waits where cgi_max_processes are busy; then the client gets 503",
        set: |pass, arguments| {
            let time = arguments.time(0)?;
            arguments.set_once(&mut pass.queue_timeout, time)
        },
    },
    Directive {
        name: "cgi_buffer_size",
        contexts: HTTP_SERVER_LOCATION,
        arity: Arity::Exactly(1),
        default: "8k",
        help: "size: longest head of an answer",
        set: |pass, arguments| {
            let size = arguments.size(0)?;
            arguments.set_once(&mut pass.buffer_size, size)
        },
    },
];

type Setter = fn(&mut CgiPass, &mut Arguments<'_>) -> Result<(), ArgumentError>;

const fn flag(name: &'static str, help: &'static str, set: Setter) -> Directive<CgiPass> {
    Directive { name, contexts: HTTP_SERVER_LOCATION, arity: Arity::Flag, default: "on", help, set }
}

fn texts(arguments: &Arguments<'_>, first: usize) -> Vec<String> {
    arguments.words().iter().skip(first).map(|word| word.text.to_string()).collect()
}

fn set_pass(pass: &mut CgiPass, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let target = match arguments.text(0)? {
        "on" => Target::Root,
        "off" => Target::Off,
        _ => Target::Program(setter::template(arguments, 0)?),
    };
    arguments.set_once(&mut pass.target, target)
}

fn set_param(pass: &mut CgiPass, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = arguments.text(0)?;
    if name == "HTTP_PROXY" {
        return Err(ArgumentError::new(
            Some(0),
            "HTTP_PROXY tells programs where their own requests go, and is never set",
        ));
    }
    let if_not_empty = arguments.len() == 3;
    if if_not_empty && arguments.text(2)? != "if_not_empty" {
        return Err(arguments.invalid_parameter(2));
    }
    let parameter = Parameter { name: name.as_bytes().to_vec(), value: setter::template(arguments, 1)?, if_not_empty };
    let list = pass.parameters.get_or_insert_default();
    Arc::get_mut(list).expect("a block's own list is not shared before the block is closed").push(parameter);
    Ok(())
}

fn set_interpreter(pass: &mut CgiPass, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let path = PathBuf::from(arguments.text(1)?);
    if !path.is_absolute() {
        return Err(ArgumentError::new(Some(1), "an interpreter needs its whole path: no search path is asked"));
    }
    let interpreter = Interpreter {
        ending: arguments.text(0)?.to_owned(),
        path,
        arguments: texts(arguments, 2).into_iter().map(PathBuf::from).collect(),
    };
    let list = pass.interpreters.get_or_insert_default();
    Arc::get_mut(list).expect("a block's own list is not shared before the block is closed").push(interpreter);
    Ok(())
}
