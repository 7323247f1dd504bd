//! Locks of the application's that all its processes share.

use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyModule;
use pyo3::wrap_pyfunction;

use super::ours;
use crate::commons::{Member, member};
use crate::log::{self, Level};
use crate::shared::mutex::{NotTaken, SharedMutex, Taken};

/// Adds the functions.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(lock, module)?)?;
    module.add_function(wrap_pyfunction!(unlock, module)?)?;
    module.add_function(wrap_pyfunction!(is_locked, module)?)
}

#[pyfunction]
#[pyo3(signature = (number = 0))]
fn lock(py: Python<'_>, number: i64) -> PyResult<()> {
    let lock = numbered(number)?;
    loop {
        match py.detach(|| lock.take_within(LOOK_INTERVAL)) {
            Ok(Taken::Free) => return Ok(()),
            Ok(Taken::Orphaned) => {
                log::line(Level::Warning, format_args!("lock {number} was held by a process or thread that has ended"));
                return Ok(());
            }
            // Under uWSGI the process would wait for itself for ever.
            Err(NotTaken::Own) => {
                return Err(PyRuntimeError::new_err(format!("lock {number} is held by this very thread")));
            }
            Err(NotTaken::Busy) => py.check_signals()?,
        }
    }
}

#[pyfunction]
#[pyo3(signature = (number = 0))]
fn unlock(number: i64) -> PyResult<()> {
    if !numbered(number)?.give_back() {
        log::line(Level::Warning, format_args!("unlock({number}): this thread does not hold that lock"));
    }
    Ok(())
}

#[pyfunction]
#[pyo3(signature = (number = 0))]
fn is_locked(number: i64) -> PyResult<bool> {
    let lock = numbered(number)?;
    match lock.try_take() {
        Ok(_) => {
            lock.give_back();
            Ok(false)
        }
        Err(_) => Ok(true),
    }
}

fn numbered(number: i64) -> PyResult<&'static SharedMutex> {
    if matches!(member(), Member::Spooler(_)) {
        return Err(PyValueError::new_err("The spooler cannot lock/unlock resources"));
    }
    let lock = usize::try_from(number).ok().and_then(|number| ours().ok()?.locks.get(number));
    lock.ok_or_else(|| PyValueError::new_err("Invalid lock number"))
}

/// How long a thread waits for a lock before it looks for signals of the system's.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
