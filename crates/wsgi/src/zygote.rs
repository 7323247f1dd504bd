//! The first process of a pool: loads the application and forks the workers from itself.

use std::sync::Arc;

use daemun_channel::control::{self, Message};
use daemun_channel::{ChannelError, Handover, WorkerEnd};
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::application::{Applications, LoadError};
use crate::commons::{Commons, Member};
use crate::inheritance::OpenDescriptors;
use crate::log::{self, Level};
use crate::ready::Ready;
use crate::supervisor::{Newborn, Supervisor, Turn};
use crate::{development, exit, hooks, interpreter, log_file, log_stream, traceback, uwsgi, worker};

/// Runs the pool to its end; returns the exit status, in the zygote and in every worker.
pub fn run(py: Python<'_>) -> i32 {
    // SAFETY: `main` is called once, in the process that the master made for it.
    let ready = unsafe { Ready::inherit() };
    // SAFETY: as above.
    let inherited = unsafe { Handover::inherit() };
    // SAFETY: as above: the descriptors were made for this process and nobody else has them.
    let inherited = inherited.and_then(|handover| Ok((unsafe { handover.take_descriptors() }?, handover)));
    let (end, handover) = match inherited {
        Ok(inherited) => inherited,
        Err(error) => return failed(&error),
    };
    log::configure(&handover.logs);
    let offered = prepare(py, &handover).and_then(|()| offer(py, &handover, &end));
    let open_before = OpenDescriptors::now();
    development::note_time_of_loading();
    let made = offered.and_then(|commons| Ok((commons, load(py, &handover)?)));
    let (commons, applications) = match made {
        Ok(made) => made,
        Err(Failure { reason, status }) => {
            give_up(&end, &handover, ready, reason);
            return status;
        }
    };
    freeze(py);
    open_before.warn_of_later(py);
    log_file::keep(handover.application.log_file.as_deref());
    match supervise(py, &end, &handover, ready, commons) {
        Ok(Role::Child(Newborn::Worker(birth))) => worker::run(py, end, &handover, birth, applications),
        Ok(Role::Child(Newborn::Companion(member))) => run_companion(py, &handover, member, applications.is_some()),
        Ok(Role::Zygote(status)) => status,
        Err(error) => failed(&error),
    }
}

/// Says why there is no pool: to the master, which prints it, else to the edge and the log.
fn give_up(end: &WorkerEnd, handover: &Handover, ready: Ready, reason: String) {
    let is_told = ready.fail(&reason);
    if !is_told || handover.application.log_file.is_some() {
        log::line(Level::Critical, &reason);
    }
    if !is_told {
        // The edge may be gone by now; the exit status says the same.
        let _ = control::send(end.control(), &Message::Failed { reason }, None);
    }
}

/// Why there is no pool.
struct Failure {
    reason: String,
    status: i32,
}

/// Writes to the log why the application cannot be loaded.
pub fn report(handover: &Handover, error: &LoadError) {
    log::line(Level::Critical, not_loaded(handover, error));
}

fn not_loaded(handover: &Handover, error: &LoadError) -> String {
    format!("application \"{}\" cannot be loaded: {error}", handover.application.name)
}

/// Which process this is after a fork.
enum Role {
    Zygote(i32),
    Child(Newborn),
}

/// What the application may ask of its pool: made before anything of the application's is imported.
fn offer(py: Python<'_>, handover: &Handover, end: &WorkerEnd) -> Result<&'static Commons, Failure> {
    let name = &handover.application.name;
    let failure = |error: &dyn std::fmt::Display| Failure {
        reason: format!("application \"{name}\" cannot be prepared: {error}"),
        status: exit::FAILED,
    };
    let commons = Commons::establish(handover, end).map_err(|error| failure(&error))?;
    uwsgi::install(py, commons).map_err(|error| failure(&error))?;
    Ok(commons)
}

/// Runs a mule or a spooler to its end. With `lazy-apps` it loads the application as workers do.
fn run_companion(py: Python<'_>, handover: &Handover, member: Member, is_loaded: bool) -> i32 {
    interpreter::name_process(handover, &member.to_string());
    if !is_loaded && let Err(error) = worker::load(py, handover) {
        report(handover, &error);
        return exit::NO_APPLICATION;
    }
    let ended = match member {
        Member::Mule(number) => uwsgi::run_mule(py, number),
        Member::Spooler(number) => uwsgi::run_spooler(py, number),
        Member::Zygote | Member::Worker(_) => Ok(()),
    };
    log_stream::finish_lines();
    match ended {
        Ok(()) => exit::DONE,
        Err(error) if error.is_instance_of::<PySystemExit>(py) => {
            let code = error.value(py).getattr("code").ok().filter(|code| !code.is_none());
            code.map_or(exit::DONE, |code| code.extract().unwrap_or(exit::FAILED))
        }
        Err(error) => {
            traceback::log(py, &format!("{member} failed"), &error);
            exit::FAILED
        }
    }
}

fn prepare(py: Python<'_>, handover: &Handover) -> Result<(), Failure> {
    let workers = &handover.workers;
    let name = &handover.application.name;
    interpreter::name_process(handover, "zygote");
    if let Some(mask) = workers.umask {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
    }
    let hooks = &handover.hooks;
    let failed = |reason: String| Failure { reason: format!("application \"{name}\": {reason}"), status: exit::FAILED };
    for phase in ["asap", "pre-jail", "post-jail", "in-jail", "as-root"] {
        hooks::run(hooks, phase).map_err(failed)?;
    }
    interpreter::limit(&handover.process);
    interpreter::become_user(workers).map_err(|error| {
        let (uid, gid) = (workers.uid, workers.gid);
        let reason = format!("application \"{name}\" cannot run as uid {uid:?}, gid {gid:?}: {error}");
        Failure { reason, status: exit::FAILED }
    })?;
    // After the change of user, which forgets it. The master's death is the pool's.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    hooks::run(hooks, "as-user").map_err(failed)?;
    interpreter::prepare(py, &handover.application).map_err(|error| {
        let reason = format!("application \"{name}\" cannot be prepared: {error}");
        Failure { reason, status: exit::FAILED }
    })
}

/// `None` where each worker loads for itself.
fn load(py: Python<'_>, handover: &Handover) -> Result<Option<Arc<Applications>>, Failure> {
    let hook = |phase| {
        let failed = |reason| Failure { reason, status: exit::FAILED };
        hooks::run(&handover.hooks, phase).map_err(failed)
    };
    hook("pre-app")?;
    let mut loaded = None;
    if !handover.workers.lazy_apps {
        let failure = |error| Failure { reason: not_loaded(handover, &error), status: exit::NO_APPLICATION };
        loaded = Some(worker::load(py, handover).map_err(failure)?);
    }
    hook("post-app")?;
    Ok(loaded)
}

/// Puts what is loaded out of the garbage collector's sight: no worker looks at it again, so its pages
/// stay shared between them.
fn freeze(py: Python<'_>) {
    let frozen = py.import("gc").and_then(|gc| {
        gc.call_method0("collect")?;
        gc.call_method0("freeze")
    });
    if let Err(error) = frozen {
        traceback::log(py, "gc.freeze() failed", &error);
    }
}

fn say_ready(end: &WorkerEnd) -> Result<(), ChannelError> {
    let pid = rustix::process::getpid();
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(|errno| ChannelError::System { what: "pidfd_open", source: errno.into() })?;
    let pid = pid.as_raw_nonzero().get().unsigned_abs();
    control::send(end.control(), &Message::Ready { pid }, Some(std::os::fd::AsFd::as_fd(&pidfd)))
}

fn supervise(
    py: Python<'_>,
    end: &WorkerEnd,
    handover: &Handover,
    ready: Ready,
    commons: &'static Commons,
) -> Result<Role, ChannelError> {
    say_ready(end)?;
    let mut supervisor = Supervisor::new(end, handover, ready, commons)?;
    let zygote = rustix::process::getpid();
    loop {
        let newborn = match py.detach(|| supervisor.turn()) {
            Turn::Exit(status) => {
                hooks::run_or_tell(&handover.hooks, "as-user-atexit");
                return Ok(Role::Zygote(status));
            }
            Turn::Fork(newborn) => newborn,
        };
        log_stream::finish_lines();
        match fork(py) {
            Ok(0) => {
                follow(zygote);
                return Ok(Role::Child(newborn));
            }
            Ok(pid) => {
                let born = Pid::from_raw(pid).map(|pid| supervisor.born(newborn, pid));
                if let Some(Err(error)) = born {
                    log::line(Level::Critical, format_args!("{newborn} (pid {pid}) cannot be watched: {error}"));
                    supervisor.not_born(newborn);
                }
            }
            Err(error) => {
                traceback::log(py, &format!("{newborn} cannot be forked"), &error);
                supervisor.not_born(newborn);
            }
        }
    }
}

/// `os.fork()`, so that the application's at-fork hooks run; 0 in the child.
fn fork(py: Python<'_>) -> PyResult<i32> {
    // Python warns of threads at a fork by a warning that a filter may turn into an exception, when the
    // child is there already.
    let warnings = py.import("warnings")?;
    let kept = warnings.getattr("catch_warnings")?.call0()?;
    kept.call_method0("__enter__")?;
    let forked = warnings.call_method1("simplefilter", ("ignore",)).and_then(|_| py.import("os")?.call_method0("fork"));
    kept.call_method1("__exit__", (py.None(), py.None(), py.None()))?;
    forked?.extract()
}

/// Makes a worker die with its zygote, whose seats another zygote will take.
fn follow(zygote: Pid) {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if rustix::process::getppid() != Some(zygote) {
        // It died before we asked to be told.
        exit::now(exit::FAILED);
    }
}

fn failed(error: &ChannelError) -> i32 {
    log::line(Level::Critical, format_args!("{error}"));
    exit::FAILED
}
