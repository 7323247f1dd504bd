//! One request from the record to the end of the answer: the application is called, its iterable is
//! sent, and closed whatever happens.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use daemun_channel::Job;
use daemun_channel::handover::FailurePage;
use daemun_gateway::record::{Record, RecordFlags};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::application::Applications;
use crate::environ::EnvironBuilder;
use crate::exchange::{Exchange, Fault, Progress, State};
use crate::failure_page::Page;
use crate::file_wrapper::FileWrapper;
use crate::head::kind;
use crate::input::Input;
use crate::log;
use crate::request_log::{self, Entry};
use crate::start_response::StartResponse;
use crate::text::is_unshared;
use crate::{signals, traceback, uwsgi};

/// What a thread needs to run requests, one after the other.
pub struct Responder {
    applications: Arc<Applications>,
    environ: EnvironBuilder,
    handles: Handles,
    failure_page: FailurePage,
    /// The environ of the request under way, where a page may have to show it.
    environ_of_failed: Option<Py<PyDict>>,
    /// The number of its thread, for the log of requests.
    core: u16,
    /// What the log of requests wants of the one that runs.
    entry: Option<Entry>,
}

/// The objects that an application gets of a request.
struct Handles {
    exchange: Arc<Exchange>,
    start_response: Py<StartResponse>,
    input: Py<Input>,
}

impl Responder {
    /// For one thread.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn new(
        py: Python<'_>,
        applications: Arc<Applications>,
        environ: EnvironBuilder,
        failure_page: FailurePage,
        core: u16,
    ) -> PyResult<Self> {
        let handles = Handles::new(py)?;
        Ok(Self { applications, environ, handles, failure_page, environ_of_failed: None, core, entry: None })
    }

    /// Runs one request. Nothing that the application does comes out of here.
    pub fn respond(&mut self, py: Python<'_>, job: Job) {
        self.run(py, job);
        if let Some(entry) = self.entry.take() {
            request_log::finish(&entry, &self.handles.exchange.own_state(py));
        }
    }

    fn run(&mut self, py: Python<'_>, job: Job) {
        if !self.handles.are_unshared(py) {
            match Handles::new(py) {
                Ok(handles) => self.handles = handles,
                Err(error) => return traceback::log(py, "cannot run the request", &error),
            }
        }
        let exchange = Arc::clone(&self.handles.exchange);
        let result = self.call(py, job).and_then(|iterable| {
            let sent = send_iterable(py, &exchange, &iterable);
            // Always, and after the end of the answer: the client does not wait for it.
            close(py, &iterable);
            sent
        });
        let mut state = exchange.own_state(py);
        match result {
            Ok(()) => {}
            Err(Fault::ClientGone) => {}
            Err(Fault::Python(error)) => {
                let is_over = state.is_over();
                drop(state); // The traceback's text runs code of the application.
                signals::note_exception();
                let what = if is_over { "after the answer" } else { "application failed" };
                traceback::log(py, what, &error);
                let page = Page::of(py, self.failure_page, &error, self.environ_of_failed.take());
                exchange.own_state(py).fail(py, page);
                return;
            }
        }
        state.abandon(); // Already over, unless the client is gone.
    }

    /// Builds environ and calls the application.
    fn call<'py>(&mut self, py: Python<'py>, mut job: Job) -> Result<Bound<'py, PyAny>, Fault> {
        let handles = &self.handles;
        let input = handles.input.bind(py);
        let prepared = Record::read(job.record()).map_err(|error| PyRuntimeError::new_err(error.to_string()));
        let prepared = prepared.and_then(|record| {
            log::set_request(record.front().request_id);
            self.entry = request_log::begin(&record, self.core);
            let is_head_request = record.front().flags.contains(RecordFlags::HEAD);
            Ok((self.environ.build(py, &record, input.as_any())?, is_head_request))
        });
        let is_head_request = prepared.as_ref().is_ok_and(|(_, is_head_request)| *is_head_request);
        input.get().open(job.body());
        job.mark_started();
        handles.exchange.open(job, is_head_request);

        let (environ, _) = prepared?;
        if self.failure_page != FailurePage::Brief {
            self.environ_of_failed = Some(environ.clone().unbind());
        }
        uwsgi::request::begin(&handles.exchange, &environ);
        let application = self.applications.choose(py, &environ)?;
        let arguments = (environ, handles.start_response.bind(py));
        Ok(application.call1(arguments)?)
    }
}

impl Handles {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let exchange = Arc::new(Exchange::default());
        let start_response = Py::new(py, StartResponse::new(py, Arc::clone(&exchange))?)?;
        let input = Py::new(py, Input::new(Arc::clone(&exchange)))?;
        Ok(Self { exchange, start_response, input })
    }

    /// Whether the application has let go of everything it got, so that the next request may have it.
    fn are_unshared(&self, py: Python<'_>) -> bool {
        is_unshared(py, &self.start_response)
            && is_unshared(py, &self.input)
            && self.start_response.get().is_write_unshared(py)
    }
}

/// Sends what the application returned and ends the answer.
fn send_iterable(py: Python<'_>, exchange: &Exchange, iterable: &Bound<'_, PyAny>) -> Result<(), Fault> {
    if let Ok(list) = iterable.cast_exact::<PyList>() {
        return send_all(py, exchange, list.iter());
    }
    if let Ok(tuple) = iterable.cast_exact::<PyTuple>() {
        return send_all(py, exchange, tuple.iter());
    }
    if let Ok(wrapper) = iterable.cast_exact::<FileWrapper>()
        && let Some(part) = wrapper.get().file_part(py)
    {
        let mut state = exchange.own_state(py);
        // SAFETY: the wrapper holds the application's file, which is open until we close it; should
        // the application have closed it, the system refuses the number.
        let file = unsafe { BorrowedFd::borrow_raw(part.descriptor) };
        state.send_file(py, file, part.offset, part.length)?;
        return state.complete();
    }
    send_each(py, exchange, iterable)
}

/// Chunks that are all there already: they go together.
fn send_all<'py>(
    py: Python<'py>,
    exchange: &Exchange,
    chunks: impl Iterator<Item = Bound<'py, PyAny>>,
) -> Result<(), Fault> {
    let mut state = exchange.own_state(py);
    for chunk in chunks {
        if state.send(py, chunk_octets(&chunk)?)? == Progress::Complete {
            break;
        }
    }
    state.complete()
}

/// Chunks that the application makes one after the other: each goes before the next is asked for.
fn send_each(py: Python<'_>, exchange: &Exchange, iterable: &Bound<'_, PyAny>) -> Result<(), Fault> {
    let chunks = iterable.try_iter().map_err(|error| not_iterable(py, iterable, error))?;
    let mut late_chunks = 0;
    for chunk in chunks {
        let chunk = chunk?;
        let octets = chunk_octets(&chunk)?;
        let mut state = exchange.own_state(py);
        if !state.is_over() {
            send_one(py, &mut state, octets)?;
            continue;
        }
        // The answer is complete, yet the application goes on: let it end, but not for ever.
        late_chunks += 1;
        if !octets.is_empty() || late_chunks > LATE_CHUNKS_MAX {
            return Ok(());
        }
    }
    let mut state = exchange.own_state(py);
    if state.is_over() { Ok(()) } else { state.complete() }
}

fn send_one(py: Python<'_>, state: &mut State, octets: &[u8]) -> Result<(), Fault> {
    match state.send(py, octets)? {
        Progress::Complete => state.complete(),
        Progress::Open if octets.is_empty() => Ok(()),
        Progress::Open => state.flush(),
    }
}

fn not_iterable(py: Python<'_>, object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyTypeError>(py) {
        return error;
    }
    PyTypeError::new_err(format!("the application returned {}, which cannot be iterated over", kind(object)))
}

fn close(py: Python<'_>, iterable: &Bound<'_, PyAny>) {
    if iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
        return; // They have no `close`: spares a look-up on the way of most answers.
    }
    let closed = iterable.getattr_opt("close").and_then(|close| close.map(|close| close.call0()).transpose());
    if let Err(error) = closed {
        traceback::log(py, "close() of the response failed", &error);
    }
}

/// The octets of a body chunk.
///
/// # Errors
///
/// `TypeError` for anything but bytes.
pub fn chunk_octets<'a>(chunk: &'a Bound<'_, PyAny>) -> PyResult<&'a [u8]> {
    match chunk.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) => Err(PyTypeError::new_err(format!("a response body consists of bytes, not of {}", kind(chunk)))),
    }
}

/// Empty chunks that an application may yield behind the end of its answer.
const LATE_CHUNKS_MAX: usize = 64;
