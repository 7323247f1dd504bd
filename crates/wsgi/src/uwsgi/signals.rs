//! Signals of the application's, and what sends them by itself.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PyTuple};
use pyo3::wrap_pyfunction;

use super::{ours, true_or_none};
use crate::commons::{Commons, Member, commons, member};
use crate::log::{self, Level};
use crate::timers::Cron;
use crate::traceback;

/// By number: what this process calls.
static HANDLERS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// The signal that this process has handled last.
static RECEIVED: AtomicI32 = AtomicI32::new(0);

/// Adds the functions.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(register_signal, module)?)?;
    module.add_function(wrap_pyfunction!(signal_registered, module)?)?;
    module.add_function(wrap_pyfunction!(signal, module)?)?;
    module.add_function(wrap_pyfunction!(signal_wait, module)?)?;
    module.add_function(wrap_pyfunction!(signal_received, module)?)?;
    module.add_function(wrap_pyfunction!(add_timer, module)?)?;
    module.add_function(wrap_pyfunction!(add_ms_timer, module)?)?;
    module.add_function(wrap_pyfunction!(add_rb_timer, module)?)?;
    module.add_function(wrap_pyfunction!(add_cron, module)?)?;
    module.add_function(wrap_pyfunction!(add_file_monitor, module)?)
}

fn handlers(py: Python<'_>) -> &Bound<'_, PyDict> {
    HANDLERS.get_or_init(py, || PyDict::new(py).unbind()).bind(py)
}

/// Calls what was registered for the signals that have come to this process. Called between requests.
pub fn run_pending(py: Python<'_>) {
    let Some(commons) = commons() else { return };
    let member = member();
    while let Some(number) = commons.switchboard.take(commons, member) {
        handle(py, commons, member, number);
    }
}

/// Whether [`run_pending`] would do anything.
#[inline]
pub fn has_pending() -> bool {
    commons().is_some_and(|commons| commons.switchboard.has_pending(commons, member()))
}

fn handle(py: Python<'_>, commons: &Commons, member: Member, number: u8) {
    RECEIVED.store(i32::from(number), Ordering::Relaxed);
    if let Some(place) = commons.place(member) {
        place.signals.fetch_add(1, Ordering::Relaxed);
    }
    match handlers(py).get_item(number) {
        Ok(Some(handler)) => {
            if let Err(error) = handler.call1((number,)) {
                traceback::log(py, &format!("the handler of signal {number} failed"), &error);
            }
        }
        Ok(None) => {
            log::line(Level::Error, format_args!("signal {number} has come, and this process has no handler for it"));
        }
        Err(error) => traceback::log(py, "a signal cannot be handled", &error),
    }
}

#[pyfunction]
#[pyo3(signature = (number, receiver, handler, *_language))]
fn register_signal(
    number: u8,
    receiver: &str,
    handler: &Bound<'_, PyAny>,
    _language: &Bound<'_, PyTuple>,
) -> PyResult<()> {
    if !handler.is_callable() {
        return Err(PyValueError::new_err("the handler of a signal must be callable"));
    }
    handlers(handler.py()).set_item(number, handler)?;
    let is_registered = ours()?.switchboard.register(number, receiver);
    is_registered.then_some(()).ok_or_else(|| PyValueError::new_err("unable to register signal"))
}

#[pyfunction]
fn signal_registered(py: Python<'_>, number: u8) -> PyResult<Option<Py<PyAny>>> {
    Ok(true_or_none(py, ours()?.switchboard.receiver(number).is_some()))
}

#[pyfunction]
#[pyo3(signature = (number, node = None))]
fn signal(number: u8, node: Option<&str>) -> PyResult<()> {
    if node.is_some() {
        let text = "signals to other servers are not supported by daemun; without a node it goes to this one";
        return Err(PyNotImplementedError::new_err(text));
    }
    let commons = ours()?;
    commons.switchboard.send(commons, number);
    Ok(())
}

/// Waits for a signal to this process, for a certain one where a number is given; handles whatever comes meanwhile.
#[pyfunction]
#[pyo3(signature = (number = None))]
fn signal_wait(py: Python<'_>, number: Option<u8>) -> PyResult<()> {
    let (commons, member) = (ours()?, member());
    loop {
        let bell = commons.bell(member);
        match commons.switchboard.take(commons, member) {
            Some(come) => {
                handle(py, commons, member, come);
                if number.is_none_or(|number| number == come) {
                    return Ok(());
                }
            }
            None => py.detach(|| commons.sleep(member, bell, LOOK_INTERVAL)),
        }
        py.check_signals()?;
    }
}

#[pyfunction]
fn signal_received() -> i32 {
    RECEIVED.load(Ordering::Relaxed)
}

#[pyfunction]
fn add_timer(number: u8, seconds: i64) -> PyResult<()> {
    timer(number, seconds, 1000, 0)
}

#[pyfunction]
fn add_ms_timer(number: u8, milliseconds: i64) -> PyResult<()> {
    timer(number, milliseconds, 1, 0)
}

#[pyfunction]
#[pyo3(signature = (number, seconds, iterations = 0))]
fn add_rb_timer(number: u8, seconds: i64, iterations: i64) -> PyResult<()> {
    timer(number, seconds, 1000, u32::try_from(iterations).unwrap_or(0))
}

fn timer(number: u8, interval: i64, unit_ms: u64, iterations: u32) -> PyResult<()> {
    let interval = u64::try_from(interval).ok().filter(|interval| *interval > 0);
    let interval = interval.ok_or_else(|| PyValueError::new_err("a timer needs an interval above 0"))?;
    let interval = Duration::from_millis(interval.saturating_mul(unit_ms));
    added(ours()?.switchboard.timers.add_timer(number, interval, iterations).is_ok(), "timer")
}

#[pyfunction]
fn add_cron(number: u8, minute: i32, hour: i32, day: i32, month: i32, week_day: i32) -> PyResult<()> {
    let cron = Cron { minute, hour, day, month, week_day };
    added(ours()?.switchboard.timers.add_cron(number, cron).is_ok(), "cron")
}

#[pyfunction]
fn add_file_monitor(number: u8, path: PathBuf) -> PyResult<()> {
    let path = std::path::absolute(&path).unwrap_or(path);
    added(ours()?.switchboard.timers.add_file(number, &path).is_ok(), "file monitor")
}

/// Tells the zygote, or the application that there is no room.
fn added(is_added: bool, what: &str) -> PyResult<()> {
    if !is_added {
        return Err(PyValueError::new_err(format!("unable to add {what}")));
    }
    ours()?.wake(Member::Zygote);
    Ok(())
}

/// How long a thread waits for signals of the application's before it looks for those of the system.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
