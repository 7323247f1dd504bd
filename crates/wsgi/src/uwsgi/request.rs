//! The request that a thread runs, as the module's functions reach it without being given it.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyAttributeError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyModule};
use pyo3::wrap_pyfunction;

use super::octets;
use crate::commons::{commons, member};
use crate::exchange::Exchange;
use crate::request_log;

/// What a thread knows of the request it runs.
#[derive(Default)]
struct Current {
    exchange: Option<Arc<Exchange>>,
    environ: Option<Py<PyDict>>,
    /// How many this thread has begun.
    number: u64,
    /// Which of the worker's threads it is.
    thread: u16,
    has_deadline: bool,
}

thread_local! {
    static CURRENT: RefCell<Current> = RefCell::default();
}

/// Says which thread of the worker this is.
pub fn name_thread(thread: u16) {
    CURRENT.with_borrow_mut(|current| current.thread = thread);
}

/// Which thread of the worker this is; 0 for those that the application has started.
pub fn thread() -> u16 {
    CURRENT.with_borrow_mut(|current| {
        current.has_deadline = true;
        current.thread
    })
}

/// A request begins.
#[inline]
pub fn begin(exchange: &Arc<Exchange>, environ: &Bound<'_, PyDict>) {
    CURRENT.with_borrow_mut(|current| {
        current.exchange = Some(Arc::clone(exchange));
        current.environ = Some(environ.clone().unbind());
        current.number += 1;
    });
}

/// It is over. What the application has put into environ may be dropped by this, with whatever code that runs.
#[inline]
pub fn end() {
    request_log::forget_variables();
    let environ = CURRENT.with_borrow_mut(|current| {
        current.exchange = None;
        if std::mem::take(&mut current.has_deadline)
            && let Some(commons) = commons()
        {
            commons.set_deadline(member(), current.thread, None);
        }
        current.environ.take()
    });
    drop(environ);
}

/// Adds the functions.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(request_id, module)?)?;
    module.add_function(wrap_pyfunction!(set_logvar, module)?)?;
    module.add_function(wrap_pyfunction!(get_logvar, module)?)?;
    module.add_function(wrap_pyfunction!(log_this_request, module)?)?;
    module.add_function(wrap_pyfunction!(connection_fd, module)?)?;
    module.add_function(wrap_pyfunction!(is_connected, module)?)?;
    module.add_function(wrap_pyfunction!(disconnect, module)?)?;
    module.add_function(wrap_pyfunction!(sendfile, module)?)?;
    module.add_function(wrap_pyfunction!(cl, module)?)?;
    module.add_function(wrap_pyfunction!(chunked_read, module)?)?;
    module.add("__getattr__", wrap_pyfunction!(attribute, module)?)
}

/// `uwsgi.env`: environ of the request that this thread runs. Everything else is there or is not.
///
/// Libraries look whether uWSGI was built with websockets and do without if not: so these names are not there, and
/// whoever uses one all the same is told more than that.
#[pyfunction]
fn attribute(py: Python<'_>, name: &str) -> PyResult<Py<PyDict>> {
    let environ = CURRENT.with_borrow(|current| current.environ.as_ref().map(|environ| environ.clone_ref(py)));
    match environ {
        Some(environ) if name == "env" => Ok(environ),
        _ if name.starts_with("websocket_") => Err(PyAttributeError::new_err(format!(
            "uwsgi.{name} is not supported by daemun: libraries that read and write the connection themselves, such as \
             simple-websocket, serve websockets"
        ))),
        _ => Err(PyAttributeError::new_err(format!("module 'uwsgi' has no attribute '{name}'"))),
    }
}

fn exchange() -> PyResult<Arc<Exchange>> {
    let exchange = CURRENT.with_borrow(|current| current.exchange.clone());
    exchange.ok_or_else(|| PyRuntimeError::new_err("this thread runs no request"))
}

/// How many requests this thread has begun.
#[pyfunction]
fn request_id() -> u64 {
    CURRENT.with_borrow(|current| current.number)
}

#[pyfunction]
fn set_logvar(name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    exchange()?;
    let is_set = request_log::set_variable(&octets(name)?, &octets(value)?);
    is_set.then_some(()).ok_or_else(|| PyValueError::new_err("too many variables for the log, or too long a one"))
}

#[pyfunction]
fn get_logvar<'py>(py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    Ok(request_log::variable(&octets(name)?).map(|value| PyBytes::new(py, &value)))
}

/// Does nothing: the configuration says which requests are logged.
#[pyfunction]
fn log_this_request() {}

/// Stands for the client's connection in [`is_connected`] and [`disconnect`]; it is no descriptor, the edge has that.
#[pyfunction]
fn connection_fd() -> PyResult<i32> {
    exchange().map(|_| CONNECTION)
}

#[pyfunction]
#[pyo3(signature = (descriptor = CONNECTION))]
fn is_connected(descriptor: i32) -> PyResult<bool> {
    if descriptor == CONNECTION {
        let exchange = exchange()?;
        let mut state = exchange.state()?;
        return Ok(!state.is_over() && !state.job()?.is_aborted());
    }
    if descriptor < 0 {
        return Ok(false);
    }
    // SAFETY: only asked for its state; the system refuses a number that is not open.
    let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(matches!(rustix::net::sockopt::socket_error(socket), Ok(Ok(()))))
}

/// Ends the answer here; the application may go on for as long as it likes.
#[pyfunction]
fn disconnect() -> PyResult<()> {
    Ok(exchange()?.state()?.disconnect()?)
}

/// Sends a file, or a part of one, as the rest of the answer.
#[pyfunction]
#[pyo3(signature = (file, chunk = 0, start = 0, size = 0))]
fn sendfile(py: Python<'_>, file: &Bound<'_, PyAny>, chunk: u64, start: u64, size: u64) -> PyResult<bool> {
    let _ = chunk; // The edge sends in pieces of its own.
    let exchange = exchange()?;
    let opened = match file.extract::<PathBuf>() {
        Ok(path) => Some(
            File::open(&path)
                .map_err(|error| PyOSError::new_err((error.raw_os_error(), format!("{error}: {}", path.display()))))?,
        ),
        Err(_) => None,
    };
    let number = match &opened {
        Some(file) => file.as_raw_fd(),
        None if file.hasattr("fileno")? => file.call_method0("fileno")?.extract()?,
        None => file.extract()?,
    };
    if number < 0 {
        return Err(PyValueError::new_err("no file"));
    }
    // SAFETY: the application's open file, or ours; the system refuses a number that is not open.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let metadata =
        rustix::fs::fstat(descriptor).map_err(|errno| PyOSError::new_err((errno.raw_os_error(), errno.to_string())))?;
    let there = u64::try_from(metadata.st_size).unwrap_or(0).saturating_sub(start);
    let length = if size == 0 { there } else { size.min(there) };
    exchange.state()?.send_file(py, descriptor, start, length)?;
    Ok(true)
}

/// The length of the request's body; 0 when it is not said.
#[pyfunction]
fn cl(py: Python<'_>) -> PyResult<u64> {
    let environ = attribute(py, "env")?;
    let length = environ.bind(py).get_item("CONTENT_LENGTH")?;
    Ok(length.and_then(|length| length.to_string().parse().ok()).unwrap_or(0))
}

/// A piece of the request's body, empty at its end. It needs no end of a chunk: the edge knows none any more.
#[pyfunction]
#[pyo3(signature = (timeout = 0))]
fn chunked_read(py: Python<'_>, timeout: i64) -> PyResult<Bound<'_, PyAny>> {
    let _ = timeout; // The edge's own limits end a body that does not come.
    let environ = attribute(py, "env")?;
    let input = environ.bind(py).get_item("wsgi.input")?;
    let input = input.ok_or_else(|| PyRuntimeError::new_err("environ has no wsgi.input"))?;
    input.call_method1("read", (PIECE_BYTES,))
}

/// A number that is no descriptor, so that whoever takes it for one is told.
const CONNECTION: i32 = i32::MAX;

/// What [`chunked_read`] gives at once.
const PIECE_BYTES: usize = 32 << 10;
