//! A master with children made to order: the tests run this program and send it signals.
//!
//! ```text
//! stage [--option VALUE]... KIND NAME BEHAVIOUR [KIND NAME BEHAVIOUR]...
//! ```
//!
//! `KIND` is `app`, whose behaviour is a shell script, `run`, whose behaviour is a program without arguments, or `edge`, whose behaviour
//! is one of those in `edge.rs`. Log lines go to standard error as `[level] text`.
#![allow(clippy::unwrap_used, missing_docs)] // a test's own program: a failing call is a failing test

mod edge;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::time::Duration;

use daemun_master::{
    ChildPlan, Death, Executable, Identity, Level, Log, MasterPlan, NoSuccessors, Output, Role, Scope, StartFailure,
    StopKind, Successors,
};
use daemun_net::SocketFile;

fn main() -> ExitCode {
    let cast = Cast::from_arguments(std::env::args().skip(1));
    let detached = cast.option("daemonize").map(|output| {
        let detached = daemun_master::daemonize().unwrap();
        if output.is_empty() { detached } else { detached.with_output(File::create(output).unwrap().into()) }
    });
    let mut plan = MasterPlan::new(cast.plans(), Box::new(NoSuccessors), Box::new(StandardError));
    if cast.option("scope").is_some() {
        plan.successors = Box::new(Understudies { cast: cast.clone(), calls: 0 });
    }
    plan.detached = detached;
    plan.pid_files = cast.all("pid").map(Into::into).collect();
    plan.socket_files = cast.all("socket").map(socket_file).collect();
    if cast.option("terminate").is_some() {
        plan.on_terminate = StopKind::Graceful;
    }
    plan.timings.graceful_stop = cast.milliseconds("graceful-ms");
    plan.timings.fast_stop = cast.milliseconds("fast-ms").unwrap_or(Duration::from_secs(20));
    plan.timings.back_off.first = cast.milliseconds("back-off-ms").unwrap_or(Duration::from_millis(10));
    plan.on_started = Some(Box::new(|| eprintln!("[test] started")));
    match daemun_master::run(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("[emerg] {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command line.
#[derive(Debug, Clone, Default)]
struct Cast {
    options: Vec<(String, String)>,
    children: Vec<[String; 3]>,
}

impl Cast {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut cast = Self::default();
        while let Some(word) = arguments.next() {
            match word.strip_prefix("--") {
                Some(option) => cast.options.push((option.to_owned(), arguments.next().unwrap())),
                None => cast.children.push([word, arguments.next().unwrap(), arguments.next().unwrap()]),
            }
        }
        cast
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    fn milliseconds(&self, name: &str) -> Option<Duration> {
        self.option(name).map(|value| Duration::from_millis(value.parse().unwrap()))
    }

    fn plans(&self) -> Vec<ChildPlan> {
        self.children.iter().map(|child| self.plan(child)).collect()
    }

    fn plan(&self, [kind, name, behaviour]: &[String; 3]) -> ChildPlan {
        let behaviour = behaviour.clone();
        let mut plan = match kind.as_str() {
            "edge" => ChildPlan::fork(name, Role::Edge, move |notice| edge::act(&behaviour, notice)),
            "run" => ChildPlan::exec(name, Role::Application, Executable::new(behaviour)),
            _ => ChildPlan::exec(name, Role::Application, self.shell(&behaviour)),
        };
        plan.identity = self.option("user").map(|user| Identity::look_up(user, None).unwrap());
        if let Some(output) = self.option("output") {
            plan.output = Output::File(File::options().append(true).create(true).open(output).unwrap().into());
        }
        if let Some(limit) = self.milliseconds("ready-ms") {
            plan.ready_within = limit;
        }
        if self.option("retry").is_some() {
            plan.on_start_failure = StartFailure::Retry;
        }
        plan
    }

    fn shell(&self, script: &str) -> Executable {
        let mut shell = Executable::new("sh");
        shell.arguments = vec![OsString::from("-c"), OsString::from(script)];
        shell.directory = self.option("directory").map(Into::into);
        if let Some(path) = self.option("inherit") {
            let file: OwnedFd = File::open(path).unwrap().into();
            shell.inherited = vec![file.as_raw_fd()];
            shell.environment = vec![
                (OsString::from("INHERITED"), Some(file.as_raw_fd().to_string().into())),
                (OsString::from("UNWANTED"), None),
            ];
            shell.owner = Some(Box::new(file));
        }
        shell
    }
}

/// Plays a dead child's part, and those of all that fell with it, again.
struct Understudies {
    cast: Cast,
    calls: u32,
}

impl Successors for Understudies {
    fn scope(&mut self, death: &Death) -> Scope {
        match (self.cast.option("scope"), death.role) {
            (Some("role"), Role::Edge) | (Some("all"), _) => Scope::All,
            (Some(names), Role::Application) if names.contains(',') => {
                Scope::With(names.split(',').map(str::to_owned).collect())
            }
            _ => Scope::Alone,
        }
    }

    fn plans(&mut self, death: &Death) -> Result<Vec<ChildPlan>, String> {
        self.calls += 1;
        if self.cast.option("refuse") == Some(&self.calls.to_string()) {
            return Err("no memory for it".to_owned());
        }
        let fallen = self.scope(death);
        let plays = |name: &String| match &fallen {
            Scope::All | Scope::Shutdown => true,
            Scope::Alone => *name == death.name,
            Scope::With(names) => *name == death.name || names.contains(name),
        };
        Ok(self.cast.children.iter().filter(|[_, name, _]| plays(name)).map(|child| self.cast.plan(child)).collect())
    }
}

struct StandardError;

impl Log for StandardError {
    fn log(&mut self, level: Level, text: &str) {
        // One write per line: children share the file.
        let _ = std::io::stderr().write_all(format!("[{level}] {text}\n").as_bytes());
    }

    fn reopen(&mut self) {
        self.log(Level::Info, "log reopened");
    }
}

fn socket_file(path: &str) -> SocketFile {
    // The listener is not needed: a file that outlives it is what has to be removed.
    drop(UnixListener::bind(path).unwrap());
    SocketFile::of(path.as_ref()).unwrap()
}
