//! A worker process: its threads take requests and run the application, until they are told to stop.

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daemun_channel::handover::FailurePage;
use daemun_channel::{Handover, Observer, Wake, Worker, WorkerEnd};
use pyo3::exceptions::{PyRuntimeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule, PyTuple};

use crate::application::{Applications, LoadError};
use crate::commons::Member;
use crate::environ::Concurrency;
use crate::log::{self, Level};
use crate::log_stream::{self, Stream};
use crate::request_log;
use crate::supervisor::{Birth, traceback_signal};
use crate::threads::{Desk, Desks, Threads};
use crate::wear::Limits;
use crate::{development, exit, hooks, interpreter, signals, traceback, uwsgi, zygote};

/// Runs a worker to its end and returns the exit status.
pub fn run(
    py: Python<'_>,
    end: WorkerEnd,
    handover: &Handover,
    birth: Birth,
    loaded: Option<Arc<Applications>>,
) -> i32 {
    interpreter::name_process(handover, &format!("worker {}", birth.number + 1));
    interpreter::pin(&handover.process, birth.number);
    hooks::run_or_tell(&handover.hooks, "post-fork");
    let applications = match loaded.map_or_else(|| load(py, handover), Ok) {
        Ok(applications) => applications,
        Err(error) => {
            zygote::report(handover, &error);
            return exit::NO_APPLICATION;
        }
    };
    let begun = uwsgi::become_member(py, Member::Worker(birth.number), birth.worker);
    match begun.and_then(|()| serve_all(py, end, handover, birth, &applications)) {
        Ok(()) => exit::DONE,
        Err(error) => {
            traceback::log(py, "worker cannot run", &error);
            exit::FAILED
        }
    }
}

/// Loads the application, or stands in for it where it may be missing.
///
/// # Errors
///
/// [`LoadError`] when the application is needed.
pub fn load(py: Python<'_>, handover: &Handover) -> Result<Arc<Applications>, LoadError> {
    let loaded = Applications::load(py, &handover.application).and_then(|applications| {
        if let Some(folder) = &handover.application.chdir_after {
            let changed = std::env::set_current_dir(folder);
            changed.map_err(|source| LoadError::File { path: folder.clone(), source })?;
        }
        Ok(applications)
    });
    match loaded {
        Ok(applications) => Ok(Arc::new(applications)),
        Err(error) if handover.application.need_app => Err(error),
        Err(error) => {
            zygote::report(handover, &error);
            let is_shown = handover.application.failure_page != FailurePage::Brief;
            Ok(Arc::new(Applications::none(is_shown.then(|| error.to_string()))))
        }
    }
}

fn serve_all(
    py: Python<'_>,
    end: WorkerEnd,
    handover: &Handover,
    birth: Birth,
    applications: &Arc<Applications>,
) -> PyResult<()> {
    let failure_page = handover.application.failure_page;
    let (layout, index) = (*end.layout(), birth.worker);
    let failed = |error: daemun_channel::ChannelError| PyRuntimeError::new_err(error.to_string());
    request_log::open(&handover.logs, birth.number + 1);
    signals::catch_in_worker(Observer::attach(&end).map_err(failed)?, index);
    register_hooks(py)?;
    let worker = Worker::attach(end, index).map_err(failed)?;
    let processes = match handover.workers.count {
        0 => layout.processes,
        count => count,
    };
    let desks = Desks {
        worker,
        applications: Arc::clone(applications),
        errors: log_stream::text_stream(py, Stream::Errors)?.unbind(),
        concurrency: Concurrency { threads: layout.threads > 1, processes: processes > 1 },
        failure_page,
    };
    let threads = Threads::new(desks, layout.threads);
    let mut desk = threads.first_desk(py)?;
    if let Some(path) = handover.workers.probe.as_ref().filter(|_| handover.workers.is_successor) {
        probe(py, applications, path)?;
    }
    if let Some(most) = Limits::of(&handover.workers, birth.number).requests {
        REQUESTS_LEFT.store(most, Ordering::Relaxed);
    }
    hooks::run_or_tell(&handover.hooks, "accepting");
    hooks::run_or_tell(&handover.hooks, "accepting-once");
    if birth.number == 0 {
        hooks::run_or_tell(&handover.hooks, "accepting1");
        hooks::run_or_tell(&handover.hooks, "accepting1-once");
    }
    if birth.number == 0 {
        development::watch_sources(py, &handover.application)?;
    }
    let watch = if handover.workers.threads_by_need {
        Some(threads.start_by_need())
    } else {
        threads.start(py, layout.threads.saturating_sub(1))?;
        None
    };
    desk.seat.mark_up();
    signals::ring();
    serve(py, &mut desk, &threads, None);
    if let Some(watch) = watch {
        threads.end_watch();
        // It may be about to ask for the interpreter.
        let _ = py.detach(|| watch.join());
    }
    threads.join(py)
}

/// Asks the application for `path`, as nobody's client.
///
/// # Errors
///
/// What the application raised, or `RuntimeError` when it answers 500 or more.
fn probe(py: Python<'_>, applications: &Applications, path: &str) -> PyResult<()> {
    let module = PyModule::from_code(py, PROBE, c"daemun_probe.py", c"daemun_probe")?;
    let environ = module.getattr("environ_of")?.call1((path,))?.cast_into::<PyDict>()?;
    let application = applications.choose(py, &environ)?;
    module.getattr("ask")?.call1((application, environ)).map(drop)
}

const PROBE: &CStr = c"\
from wsgiref.util import setup_testing_defaults

def environ_of(target):
    path, _, query = target.partition('?')
    environ = {'PATH_INFO': path, 'SCRIPT_NAME': '', 'QUERY_STRING': query, 'REMOTE_ADDR': '127.0.0.1'}
    setup_testing_defaults(environ)
    environ['HTTP_USER_AGENT'] = 'daemun-probe'
    return environ

def ask(application, environ):
    said = []
    def start_response(status, headers, exc_info=None):
        said[:] = [status]
        return said.append
    answer = application(environ, start_response)
    try:
        for _ in answer:
            pass
    finally:
        if hasattr(answer, 'close'):
            answer.close()
    if not said or said[0][:1] >= '5':
        raise RuntimeError('the probe of %s was answered %s' % (environ['PATH_INFO'], said[:1] or 'nothing'))
";

/// Requests until the worker has had its time; far from zero where there is no limit.
static REQUESTS_LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Python stacks on a signal of the zygote's, and care for processes that the application forks.
fn register_hooks(py: Python<'_>) -> PyResult<()> {
    let options = PyDict::new(py);
    options.set_item("file", 2)?;
    py.import("faulthandler")?.getattr("register")?.call((traceback_signal(),), Some(&options))?;

    let disown = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| signals::disown();
    let options = PyDict::new(py);
    options.set_item("after_in_child", PyCFunction::new_closure(py, None, None, disown)?)?;
    py.import("os")?.getattr("register_at_fork")?.call((), Some(&options)).map(drop)
}

/// Takes requests one by one until told to stop, or until none has come for the time of `patience`. Waits without the interpreter.
pub fn serve(py: Python<'_>, desk: &mut Desk, threads: &Threads, patience: Option<Duration>) {
    let Desk { thread, seat, responder } = desk;
    uwsgi::request::name_thread(*thread);
    let mut has_waited = false;
    while !seat.is_stopping() {
        if seat.is_held() {
            py.detach(|| seat.wait_for_release());
            continue;
        }
        if uwsgi::has_pending_signals() {
            uwsgi::run_pending_signals(py);
            log_stream::finish_lines();
        }
        if let Some(job) = seat.try_take() {
            has_waited = false;
            let _busy = threads.busy();
            // A panic would be a bug of ours. The job it had ends as failed; the worker goes on.
            if catch_unwind(AssertUnwindSafe(|| responder.respond(py, job))).is_err() {
                log::line(Level::Critical, "a bug in daemun ended this request");
            }
            uwsgi::request::end();
            log_stream::finish_lines();
            log::set_request(0);
            if REQUESTS_LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
                signals::ring(); // The zygote judges; it need not look at every request for that.
            }
            continue;
        }
        if has_waited {
            return; // Nothing has come since, either.
        }
        match py.detach(|| seat.wait(patience)) {
            Wake::Stop | Wake::EdgeGone => return,
            Wake::Interrupted if is_told_to_exit(py) => return,
            Wake::TimedOut => has_waited = patience.is_some(),
            Wake::Request | Wake::Interrupted => {}
        }
    }
}

/// Runs the application's own signal handlers; one of them may want the process to end.
fn is_told_to_exit(py: Python<'_>) -> bool {
    match py.check_signals() {
        Ok(()) => false,
        Err(error) if error.is_instance_of::<PySystemExit>(py) => true,
        Err(error) => {
            traceback::log(py, "signal handler failed", &error);
            false
        }
    }
}
