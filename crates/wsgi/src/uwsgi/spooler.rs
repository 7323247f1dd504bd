//! Spooled tasks: what the Python text that writes and runs them needs of the pool.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyModule, PyTuple};
use pyo3::wrap_pyfunction;

use super::mules::{busy, catch_end, is_told_to_end};
use super::{attribute, log_line, ours};
use crate::commons::{Member, member};

/// Adds the functions, which are written in Python.
///
/// # Errors
///
/// What Python raises; a bug of ours.
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let pool = PyModule::new(py, "_daemun_pool")?;
    let facilities = &ours()?.facilities;
    let folders: Vec<String> = facilities.spoolers.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let spooling = &facilities.spooling;
    pool.add("folders", PyTuple::new(py, folders)?)?;
    pool.add("processes", spooling.processes)?;
    pool.add("is_ordered", spooling.is_ordered)?;
    pool.add("is_quiet", spooling.is_quiet)?;
    pool.add("tasks_max", spooling.tasks_max)?;
    pool.add("harakiri_seconds", spooling.harakiri_seconds)?;
    pool.add("working_folder", spooling.folder.as_ref().map(|path| path.to_string_lossy().into_owned()))?;
    pool.add("imports", PyTuple::new(py, &spooling.import)?)?;
    pool.add_function(wrap_pyfunction!(log_line, &pool)?)?;
    pool.add_function(wrap_pyfunction!(wait, &pool)?)?;
    pool.add_function(wrap_pyfunction!(wake, &pool)?)?;
    pool.add_function(wrap_pyfunction!(set_frequency, &pool)?)?;
    pool.add_function(wrap_pyfunction!(set_deadline, &pool)?)?;
    pool.add_function(wrap_pyfunction!(pids, &pool)?)?;
    pool.add_function(wrap_pyfunction!(run_task, &pool)?)?;
    pool.add_function(wrap_pyfunction!(callback, &pool)?)?;
    pool.add_function(wrap_pyfunction!(own_number, &pool)?)?;
    pool.add_function(wrap_pyfunction!(is_ending, &pool)?)?;
    let text = super::execute(py, "_daemun_spooler", include_str!("../python/spooler.py"))?;
    py.import("sys")?.getattr("modules")?.set_item("_daemun_spooler", &text)?;
    text.getattr("install")?.call1((module, pool)).map(drop)
}

/// Runs spooler process `number` to its end.
///
/// # Errors
///
/// What Python raises; `SystemExit` when it is told to end.
pub fn run(py: Python<'_>, number: u16) -> PyResult<()> {
    catch_end(py)?;
    // Tasks are in no hurry, as under uWSGI; nothing depends on it.
    let _ = rustix::process::nice(19);
    super::become_member(py, Member::Spooler(number), 0)?;
    py.import("_daemun_spooler")?.getattr("run")?.call0().map(drop)
}

/// Sleeps until somebody wakes this process after it called this last, or its time has come; handles signals of the
/// application's; whether to go on.
#[pyfunction]
fn wait(py: Python<'_>) -> PyResult<bool> {
    let (commons, member) = (ours()?, member());
    let changed = commons.spooler_frequency.load(Ordering::Relaxed);
    let seconds = if changed == 0 { commons.facilities.spooling.frequency_seconds } else { changed };
    busy(|| super::run_pending_signals(py));
    if !is_told_to_end() {
        // Changed already when somebody has spooled a task since the folder was looked through.
        let heard = HEARD.load(Ordering::SeqCst);
        py.detach(|| commons.sleep(member, heard, Duration::from_secs(seconds)));
    }
    HEARD.store(commons.bell(member), Ordering::SeqCst);
    py.check_signals()?;
    busy(|| super::run_pending_signals(py));
    Ok(!is_told_to_end())
}

/// The bell as it was before the folder was looked through.
static HEARD: AtomicU32 = AtomicU32::new(0);

/// Wakes the processes of folder `place`.
#[pyfunction]
fn wake(place: u16) -> PyResult<()> {
    let commons = ours()?;
    members_of(place)?.for_each(|member| commons.wake(member));
    Ok(())
}

fn members_of(place: u16) -> PyResult<impl Iterator<Item = Member>> {
    let processes = u16::try_from(ours()?.facilities.spooling.processes).unwrap_or(u16::MAX);
    let first = place.saturating_mul(processes);
    Ok((first..first.saturating_add(processes)).map(Member::Spooler))
}

#[pyfunction]
fn set_frequency(seconds: u64) -> PyResult<()> {
    ours()?.spooler_frequency.store(seconds, Ordering::Relaxed);
    (0..ours()?.numbers.spoolers).for_each(|number| {
        if let Ok(commons) = ours() {
            commons.wake(Member::Spooler(number));
        }
    });
    Ok(())
}

#[pyfunction]
fn set_deadline(seconds: u64) -> PyResult<()> {
    ours()?.set_deadline(member(), 0, (seconds > 0).then_some(seconds));
    Ok(())
}

/// Process ids, in the order of the folders.
#[pyfunction]
fn pids() -> PyResult<Vec<u32>> {
    let commons = ours()?;
    let places = (0..commons.numbers.spoolers).filter_map(|number| commons.place(Member::Spooler(number)));
    Ok(places.map(|place| place.pid.load(Ordering::Relaxed)).collect())
}

/// Calls a function that is to be finished before the process ends.
#[pyfunction]
fn run_task<'py>(function: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    busy(|| function.call1((task,)))
}

/// `uwsgi.spooler`, as the application has set it.
#[pyfunction]
fn callback(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    attribute(py, "spooler")
}

/// Which of the spooler processes this is, from 0; nothing in others.
#[pyfunction]
fn own_number() -> Option<u16> {
    match member() {
        Member::Spooler(number) => Some(number),
        _ => None,
    }
}

/// Whether the process was told to end while a task ran.
#[pyfunction]
#[pyo3(name = "is_told_to_end")]
fn is_ending() -> bool {
    is_told_to_end()
}
