//! Mules: processes that take messages instead of requests, or run a program of their own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PySystemExit, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyList, PyModule, PyString, PyTuple};
use pyo3::wrap_pyfunction;

use super::{attribute, octets, ours, true_or_none};
use crate::application_signals::members_of_farm;
use crate::commons::{Commons, Member, member};
use crate::log::{self, Level};
use crate::shared::message_queue::MessageQueue;
use crate::{signals, traceback};

/// Whether something is being done that is to be finished before the process ends.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// Whether the process was told to end meanwhile.
static IS_TOLD_TO_END: AtomicBool = AtomicBool::new(false);

/// Adds the functions.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(mule_msg, module)?)?;
    module.add_function(wrap_pyfunction!(farm_msg, module)?)?;
    module.add_function(wrap_pyfunction!(mule_get_msg, module)?)?;
    module.add_function(wrap_pyfunction!(farm_get_msg, module)?)?;
    module.add_function(wrap_pyfunction!(in_farm, module)?)?;
    module.add_function(wrap_pyfunction!(install_mule_msg_hook, module)?)?;
    module.add_function(wrap_pyfunction!(mule_msg_recv_size, module)?)?;
    module.add_function(wrap_pyfunction!(mule_file, module)?)
}

#[pyfunction]
#[pyo3(signature = (message, target = None))]
fn mule_msg(message: &Bound<'_, PyAny>, target: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let commons = ours()?;
    let message = octets(message)?;
    if commons.numbers.mules == 0 {
        return Err(PyValueError::new_err("no mule configured"));
    }
    let Some(target) = target.filter(|target| !target.is_none()) else {
        return Ok(send_to_any(commons, &message));
    };
    if target.is_instance_of::<PyString>() || target.is_instance_of::<PyBytes>() {
        let name = octets(target)?;
        let farm = farm_named(commons, &String::from_utf8_lossy(&name));
        return farm
            .map(|farm| send_to_farm(commons, farm, &message))
            .ok_or_else(|| PyValueError::new_err("unknown farm"));
    }
    let number: i64 = target.extract().map_err(|_| PyValueError::new_err("invalid mule"))?;
    match u16::try_from(number) {
        Ok(0) => Ok(send_to_any(commons, &message)),
        Ok(number) if number <= commons.numbers.mules => {
            Ok(send(commons.mule_messages.get(usize::from(number)), &message, [Member::Mule(number - 1)]))
        }
        _ => Err(PyValueError::new_err("invalid mule number")),
    }
}

#[pyfunction]
fn farm_msg(farm: &str, message: &Bound<'_, PyAny>) -> PyResult<()> {
    let commons = ours()?;
    let message = octets(message)?;
    // As under uWSGI, a farm that is not there is no error of whoever sends; here the log tells.
    match farm_named(commons, farm) {
        Some(farm) => drop(send_to_farm(commons, farm, &message)),
        None => log::line(Level::Error, format_args!("farm_msg(): there is no farm \"{farm}\"")),
    }
    Ok(())
}

fn farm_named(commons: &Commons, name: &str) -> Option<usize> {
    commons.facilities.farms.iter().position(|farm| farm.name == name)
}

fn send_to_any(commons: &Commons, message: &[u8]) -> bool {
    send(commons.mule_messages.first(), message, (0..commons.numbers.mules).map(Member::Mule))
}

fn send_to_farm(commons: &Commons, farm: usize, message: &[u8]) -> bool {
    send(commons.farm_messages.get(farm), message, members_of_farm(commons, farm))
}

fn send(queue: Option<&MessageQueue>, message: &[u8], to: impl IntoIterator<Item = Member>) -> bool {
    let is_sent = queue.is_some_and(|queue| queue.put(message).is_ok());
    if !is_sent {
        log::line(Level::Error, "a message to a mule is lost: the queue is full (mule-msg-size)");
    }
    if let Ok(commons) = ours() {
        to.into_iter().for_each(|member| commons.wake(member));
    }
    is_sent
}

#[pyfunction]
#[pyo3(signature = (signals = None, farms = None, buffer_size = 65_536, timeout = -1))]
fn mule_get_msg<'py>(
    py: Python<'py>,
    signals: Option<&Bound<'py, PyAny>>,
    farms: Option<&Bound<'py, PyAny>>,
    buffer_size: usize,
    timeout: i64,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let is_wanted =
        |argument: Option<&Bound<'py, PyAny>>| argument.is_none_or(|argument| argument.is_truthy().unwrap_or(true));
    let wanted = Wanted { signals: is_wanted(signals), own: true, farms: is_wanted(farms) };
    let limit = u64::try_from(timeout).ok().map(Duration::from_secs);
    let message = receive(py, wanted, limit)?;
    Ok(message.map(|message| PyBytes::new(py, message.get(..buffer_size).unwrap_or(&message))))
}

#[pyfunction]
fn farm_get_msg(py: Python<'_>) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let message = receive(py, Wanted { signals: false, own: false, farms: true }, None)?;
    Ok(message.map(|message| PyBytes::new(py, &message)))
}

/// What a mule waits for.
#[derive(Clone, Copy)]
struct Wanted {
    signals: bool,
    own: bool,
    farms: bool,
}

/// The next message; `None` when the time is over. Signals that are wanted are handled meanwhile.
fn receive(py: Python<'_>, wanted: Wanted, limit: Option<Duration>) -> PyResult<Option<Vec<u8>>> {
    let (commons, member) = (ours()?, member());
    let Member::Mule(number) = member else {
        let what = if wanted.own { "mule" } else { "farm" };
        return Err(PyValueError::new_err(format!("you can receive {what} messages only in a mule !!!")));
    };
    let until = limit.map(|limit| Instant::now() + limit);
    loop {
        let bell = commons.bell(member);
        if wanted.signals {
            super::run_pending_signals(py);
        }
        let message = queues(commons, number, wanted).find_map(MessageQueue::take);
        if message.is_some() {
            return Ok(message);
        }
        let left = until.map_or(LOOK_INTERVAL, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(None);
        }
        py.detach(|| commons.sleep(member, bell, left.min(LOOK_INTERVAL)));
        py.check_signals()?;
    }
}

fn queues(commons: &Commons, number: u16, wanted: Wanted) -> impl Iterator<Item = &MessageQueue> {
    let own = [usize::from(number) + 1, 0].into_iter().filter(move |_| wanted.own);
    let farms = commons.facilities.farms.iter().zip(&commons.farm_messages);
    let farms = farms.filter(move |(farm, _)| wanted.farms && farm.mules.contains(&(u32::from(number) + 1)));
    own.filter_map(|queue| commons.mule_messages.get(queue)).chain(farms.map(|(_, queue)| queue))
}

#[pyfunction]
#[pyo3(signature = (farm = None))]
fn in_farm(py: Python<'_>, farm: Option<&str>) -> PyResult<Option<Py<PyAny>>> {
    let Member::Mule(number) = member() else { return Ok(None) };
    let farms = &ours()?.facilities.farms;
    let is_in = farms
        .iter()
        .filter(|other| farm.is_none_or(|farm| farm == other.name))
        .any(|farm| farm.mules.contains(&(u32::from(number) + 1)));
    Ok(true_or_none(py, is_in))
}

#[pyfunction]
#[pyo3(pass_module)]
fn install_mule_msg_hook(module: &Bound<'_, PyModule>, hook: &Bound<'_, PyAny>) -> PyResult<()> {
    match module.getattr_opt(EXTRA_HOOKS)? {
        Some(hooks) => hooks.call_method1("append", (hook,)).map(drop),
        None => module.setattr(EXTRA_HOOKS, PyList::new(module.py(), [hook])?),
    }
}

#[pyfunction]
fn mule_msg_recv_size() -> PyResult<usize> {
    Ok(ours()?.facilities.mule_message_bytes)
}

/// The program that this mule runs; nothing where there is none.
#[pyfunction]
fn mule_file() -> PyResult<Option<String>> {
    let Member::Mule(number) = member() else { return Ok(None) };
    Ok(ours()?.facilities.mules.get(usize::from(number)).cloned().flatten())
}

/// Runs mule `number` to its end.
///
/// # Errors
///
/// What its program raises; `SystemExit` when it is told to end.
pub fn run(py: Python<'_>, number: u16) -> PyResult<()> {
    catch_end(py)?;
    super::become_member(py, Member::Mule(number), 0)?;
    let commons = ours()?;
    if let Some(program) = commons.facilities.mules.get(usize::from(number)).and_then(Option::as_ref) {
        return run_program(py, program);
    }
    // Told to end it takes what there is still for it: nobody else will.
    IS_BUSY.store(true, Ordering::SeqCst);
    loop {
        let bell = commons.bell(Member::Mule(number));
        super::run_pending_signals(py);
        let wanted = Wanted { signals: true, own: true, farms: true };
        match queues(commons, number, wanted).find_map(MessageQueue::take) {
            Some(message) => {
                let limit = Some(commons.facilities.mule_harakiri_seconds).filter(|seconds| *seconds > 0);
                commons.set_deadline(Member::Mule(number), 0, limit);
                take_message(py, commons, number, &message);
                commons.set_deadline(Member::Mule(number), 0, None);
            }
            None if is_told_to_end() => return Ok(()),
            None => py.detach(|| commons.sleep(Member::Mule(number), bell, LOOK_INTERVAL)),
        }
        py.check_signals()?;
    }
}

/// Has TERM end this process between two things that it does, rather than in the middle of one.
///
/// # Errors
///
/// What Python raises.
pub fn catch_end(py: Python<'_>) -> PyResult<()> {
    signals::disown();
    signals::catch_reopen();
    let end = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<()> {
        IS_TOLD_TO_END.store(true, Ordering::SeqCst);
        if IS_BUSY.load(Ordering::SeqCst) { Ok(()) } else { Err(PySystemExit::new_err(0)) }
    };
    let ignore = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {};
    let module = py.import("signal")?;
    let set = |name: &str, handler: Bound<'_, PyCFunction>| {
        module.getattr("signal")?.call1((module.getattr(name)?, handler)).map(drop)
    };
    let end = PyCFunction::new_closure(py, None, None, end)?;
    set("SIGTERM", end.clone())?;
    set("SIGQUIT", end)?;
    // A terminal sends it to everybody: it is the zygote's to decide.
    set("SIGINT", PyCFunction::new_closure(py, None, None, ignore)?)
}

/// Does something that is to be finished before the process ends.
pub fn busy<T>(work: impl FnOnce() -> T) -> T {
    IS_BUSY.store(true, Ordering::SeqCst);
    let done = work();
    IS_BUSY.store(false, Ordering::SeqCst);
    done
}

/// Whether the process was told to end while it was busy.
pub fn is_told_to_end() -> bool {
    IS_TOLD_TO_END.load(Ordering::SeqCst)
}

fn run_program(py: Python<'_>, program: &str) -> PyResult<()> {
    if let Some((module, function)) = program.split_once(':').filter(|_| !program.ends_with(".py")) {
        return py.import(module)?.getattr(function.trim_end_matches("()"))?.call0().map(drop);
    }
    let name = super::options(py, &[("run_name", PyString::new(py, "__main__").into_any())])?;
    py.import("runpy")?.getattr("run_path")?.call((program,), Some(&name)).map(drop)
}

fn take_message(py: Python<'_>, commons: &Commons, number: u16, message: &[u8]) {
    let most = commons.facilities.mule_message_bytes;
    let message = PyBytes::new(py, message.get(..most).unwrap_or(message));
    let extra = attribute(py, EXTRA_HOOKS).and_then(|hooks| hooks.cast_into::<PyList>().ok());
    let hooks: Vec<_> = attribute(py, "mule_msg_hook")
        .into_iter()
        .chain(extra.into_iter().flat_map(|hooks| hooks.into_iter()))
        .collect();
    if hooks.is_empty() {
        let length = message.as_bytes().len();
        log::line(Level::Warning, format_args!("mule {} has no hook for a message of {length} bytes", number + 1));
    }
    for hook in hooks {
        if let Err(error) = hook.call1((&message,)) {
            traceback::log(py, &format!("mule {}: a message's hook failed", number + 1), &error);
        }
    }
}

const EXTRA_HOOKS: &str = "mule_msg_extra_hooks";

/// How long a mule waits before it looks for signals of the system's.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
