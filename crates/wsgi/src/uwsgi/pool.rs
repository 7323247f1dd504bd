//! Which process this is, how the others are, and what is to become of all of them.

use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyTuple};
use pyo3::wrap_pyfunction;
use rustix::process::Pid;

use super::ours;
use crate::commons::{Member, member};
use crate::log::{Level, line};
use crate::ready::{RELOAD, STOP, ask};
use crate::wear::Memory;

/// Adds the functions.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(worker_id, module)?)?;
    module.add_function(wrap_pyfunction!(mule_id, module)?)?;
    module.add_function(wrap_pyfunction!(i_am_the_spooler, module)?)?;
    module.add_function(wrap_pyfunction!(mypid, module)?)?;
    module.add_function(wrap_pyfunction!(masterpid, module)?)?;
    module.add_function(wrap_pyfunction!(workers, module)?)?;
    module.add_function(wrap_pyfunction!(total_requests, module)?)?;
    module.add_function(wrap_pyfunction!(listen_queue, module)?)?;
    module.add_function(wrap_pyfunction!(mem, module)?)?;
    module.add_function(wrap_pyfunction!(micros, module)?)?;
    module.add_function(wrap_pyfunction!(log, module)?)?;
    module.add_function(wrap_pyfunction!(logsize, module)?)?;
    module.add_function(wrap_pyfunction!(setprocname, module)?)?;
    module.add_function(wrap_pyfunction!(reload, module)?)?;
    module.add_function(wrap_pyfunction!(stop, module)?)?;
    module.add_function(wrap_pyfunction!(accepting, module)?)?;
    module.add_function(wrap_pyfunction!(ready, module)?)?;
    module.add_function(wrap_pyfunction!(set_user_harakiri, module)?)
}

#[pyfunction]
fn worker_id() -> u32 {
    match member() {
        Member::Worker(number) => u32::from(number) + 1,
        _ => 0,
    }
}

#[pyfunction]
fn mule_id() -> u32 {
    match member() {
        Member::Mule(number) => u32::from(number) + 1,
        _ => 0,
    }
}

#[pyfunction]
fn i_am_the_spooler(py: Python<'_>) -> Option<Py<PyAny>> {
    super::true_or_none(py, matches!(member(), Member::Spooler(_)))
}

#[pyfunction]
fn mypid() -> u32 {
    std::process::id()
}

#[pyfunction]
fn masterpid() -> PyResult<u32> {
    Ok(ours()?.master)
}

#[pyfunction]
fn workers(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
    let all = (0..ours()?.numbers.workers).map(|number| worker(py, number));
    PyTuple::new(py, all.collect::<PyResult<Vec<_>>>()?)
}

fn worker(py: Python<'_>, number: u16) -> PyResult<Bound<'_, PyDict>> {
    let commons = ours()?;
    let place = commons.place(Member::Worker(number)).zip(commons.worker_state(number));
    let (place, state) = place.ok_or_else(|| PyValueError::new_err("no such worker"))?;
    let status = match (state.pid, state.is_busy) {
        (0, _) => "cheap",
        (_, true) => "busy",
        (_, false) => "idle",
    };
    let memory = memory_of(state.pid);
    let worker = PyDict::new(py);
    worker.set_item("id", number + 1)?;
    worker.set_item("pid", state.pid)?;
    worker.set_item("requests", state.all.served)?;
    worker.set_item("delta_requests", state.own.served)?;
    worker.set_item("signals", place.signals.load(Ordering::Relaxed))?;
    worker.set_item("exceptions", state.all.exceptions)?;
    worker.set_item("status", status)?;
    worker.set_item("rss", memory.resident)?;
    worker.set_item("vsz", memory.address_space)?;
    worker.set_item("running_time", state.all.running_us)?;
    worker.set_item("last_spawn", place.forked.load(Ordering::Relaxed))?;
    worker.set_item("respawn_count", place.forks.load(Ordering::Relaxed).saturating_sub(1))?;
    worker.set_item("tx", state.all.sent)?;
    worker.set_item("avg_rt", state.all.average_us)?;
    worker.set_item("apps", PyTuple::empty(py))?;
    Ok(worker)
}

#[pyfunction]
fn total_requests() -> PyResult<u64> {
    let commons = ours()?;
    let states = (0..commons.numbers.workers).filter_map(|number| commons.worker_state(number));
    Ok(states.map(|state| state.all.served).sum())
}

#[pyfunction]
#[pyo3(signature = (number = 0))]
fn listen_queue(number: i64) -> PyResult<u64> {
    // There is one queue, whatever the socket that a request came by.
    let _ = number;
    Ok(ours()?.observer.queued())
}

#[pyfunction]
fn mem() -> (u64, u64) {
    let memory = memory_of(std::process::id());
    (memory.resident, memory.address_space)
}

/// Zeros when the process is gone.
fn memory_of(pid: u32) -> Memory {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.map(Memory::read).unwrap_or_default()
}

#[pyfunction]
fn micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[pyfunction]
fn log(text: &Bound<'_, PyAny>) -> PyResult<bool> {
    let octets = super::octets(text)?;
    for text in String::from_utf8_lossy(&octets).trim_end_matches('\n').split('\n') {
        line(Level::App, text);
    }
    Ok(true)
}

#[pyfunction]
fn logsize() -> u64 {
    // A pipe or a terminal has none.
    let size = rustix::fs::fstat(rustix::stdio::stderr()).map(|file| file.st_size);
    size.ok().and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

#[pyfunction]
fn setprocname(name: &str) -> PyResult<()> {
    let name = std::ffi::CString::new(name)?;
    rustix::thread::set_name(&name).map_err(|errno| PyOSError::new_err((errno.raw_os_error(), errno.to_string())))
}

/// The application is loaded anew; whoever serves goes on until that has worked. Returns at once.
#[pyfunction]
#[pyo3(signature = (*_arguments))]
fn reload(_arguments: &Bound<'_, PyTuple>) -> bool {
    ask(RELOAD);
    true
}

#[pyfunction]
fn stop() -> bool {
    ask(STOP);
    true
}

/// Does nothing: a worker takes requests as soon as it has loaded the application.
#[pyfunction]
fn accepting() {}

#[pyfunction]
fn ready(py: Python<'_>) -> Option<Py<PyAny>> {
    super::true_or_none(py, member() != Member::Zygote)
}

#[pyfunction]
fn set_user_harakiri(seconds: i64) -> PyResult<()> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    ours()?.set_deadline(member(), super::request::thread(), seconds);
    Ok(())
}
