//! The module `uwsgi`, by which an application reaches its pool, as it does under uWSGI.
//!
//! It is made in the zygote before anything of the application's is imported, and is there in no other process than
//! the pool's. `docs/uwsgi-module.md` says what it has; names of uWSGI's that are not built are functions that say so.
//! `uwsgidecorators`, and the loops of mules and spoolers, are Python texts of our own that lie in here.

mod attributes;
mod caches;
mod locks;
mod missing;
mod mules;
mod pool;
pub mod request;
mod signals;
mod spooler;

use std::ffi::CString;

use pyo3::exceptions::{PySystemExit, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyInt, PyModule, PyString};

use crate::commons::{Commons, Member, commons};
use crate::head::kind;
use crate::log::{self, Level};
use crate::{text, traceback};

pub use signals::{has_pending as has_pending_signals, run_pending as run_pending_signals};

static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Makes the module and puts it where `import uwsgi` finds it.
///
/// # Errors
///
/// What Python raises; a bug of ours.
pub fn install(py: Python<'_>, commons: &Commons) -> PyResult<()> {
    let module = PyModule::new(py, "uwsgi")?;
    attributes::add(&module, commons)?;
    pool::add(&module)?;
    request::add(&module)?;
    locks::add(&module)?;
    caches::add(&module)?;
    signals::add(&module)?;
    mules::add(&module)?;
    spooler::add(&module)?;
    missing::add(&module)?;
    py.import("sys")?.getattr("modules")?.set_item("uwsgi", &module)?;
    let decorators = execute(py, "_daemun_finder", include_str!("../python/finder.py"))?;
    decorators.getattr("install")?.call1(("uwsgidecorators", include_str!("../python/uwsgidecorators.py")))?;
    MODULE.get_or_init(py, || module.unbind());
    Ok(())
}

/// Executes a text of ours as a module that nobody can import.
fn execute<'py>(py: Python<'py>, name: &str, source: &str) -> PyResult<Bound<'py, PyModule>> {
    PyModule::from_code(py, &CString::new(source)?, &CString::new(format!("<daemun:{name}>"))?, &CString::new(name)?)
}

/// Says in a process that was just forked, with everything loaded, which one it is, and tells the application; `worker`
/// is a worker's index in the pool.
///
/// # Errors
///
/// `SystemExit`, by which the application says that this process is to end.
pub fn become_member(py: Python<'_>, member: Member, worker: u16) -> PyResult<()> {
    if let Some(commons) = commons() {
        commons.become_member(member, worker);
    }
    let Some(hook) = attribute(py, "post_fork_hook") else { return Ok(()) };
    match hook.call0() {
        Ok(_) => Ok(()),
        Err(error) if error.is_instance_of::<PySystemExit>(py) => Err(error),
        Err(error) => {
            traceback::log(py, "post_fork_hook failed", &error);
            Ok(())
        }
    }
}

/// What the application has set in the module.
fn attribute<'py>(py: Python<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
    let value = MODULE.get(py)?.bind(py).getattr_opt(name).ok()??;
    (!value.is_none()).then_some(value)
}

/// Runs mule `number` to its end.
pub fn run_mule(py: Python<'_>, number: u16) -> PyResult<()> {
    mules::run(py, number)
}

/// Runs spooler process `number` to its end.
pub fn run_spooler(py: Python<'_>, number: u16) -> PyResult<()> {
    spooler::run(py, number)
}

/// The octets of an argument, as uWSGI takes them: bytes and their like, or text, which is UTF-8.
fn octets<'a>(argument: &'a Bound<'_, PyAny>) -> PyResult<std::borrow::Cow<'a, [u8]>> {
    if let Ok(bytes) = argument.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().into());
    }
    if let Ok(string) = argument.cast::<PyString>() {
        return text::utf8(string).map(Into::into);
    }
    // SAFETY: a live object; the result is a new reference to bytes, or null and an exception.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(argument.py(), ffi::PyBytes_FromObject(argument.as_ptr())) };
    let bytes = bytes.ok().filter(|_| !argument.is_instance_of::<PyInt>()).ok_or_else(|| {
        let kind = kind(argument);
        PyTypeError::new_err(format!("a bytes-like object is required, not '{kind}'"))
    })?;
    Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec().into())
}

/// `True`, or `None` as uWSGI says no.
fn true_or_none(py: Python<'_>, is_so: bool) -> Option<Py<PyAny>> {
    is_so.then(|| pyo3::types::PyBool::new(py, true).to_owned().into_any().unbind())
}

/// The pool's commons, which are always there where the module is.
fn ours() -> PyResult<&'static Commons> {
    commons().ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("there is no pool"))
}

/// Lines of our own Python texts, for the log.
#[pyfunction]
#[pyo3(name = "log_line")]
fn log_line(text: &str, is_error: bool) {
    log::line(if is_error { Level::Error } else { Level::App }, text);
}

/// Calls a function with keyword arguments.
fn options<'py>(py: Python<'py>, pairs: &[(&str, Bound<'py, PyAny>)]) -> PyResult<Bound<'py, PyDict>> {
    let options = PyDict::new(py);
    pairs.iter().try_for_each(|(name, value)| options.set_item(name, value))?;
    Ok(options)
}
