//! One request between the hop and the objects that the application holds of it.
//!
//! `start_response`, `write` and `wsgi.input` are Python objects that an application may keep, call
//! late, twice, or from another thread. They all reach the request through an [`Exchange`], which
//! knows whether there still is one. Nobody waits for its lock: whoever finds it taken is told so, since
//! its holder may be waiting for a client.

use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use daemun_channel::{Job, JobError, Wait};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::failure_page::Page;
use crate::head::Head;
use crate::log::{self, Level};
use crate::signals;

/// A request that may be over. Kept and used again for the next one when nobody else holds it.
#[derive(Debug, Default)]
pub struct Exchange {
    state: Mutex<State>,
}

/// What is known of the request and of the answer so far.
#[derive(Debug, Default)]
pub struct State {
    job: Option<Job>,
    head: Head,
    is_head_sent: bool,
    is_head_request: bool,
    /// Bytes of the body given to the hop.
    sent: u64,
    /// The application has ended the answer and may go on all the same.
    is_disconnected: bool,
}

/// Whether an answer needs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More may follow.
    Open,
    /// Everything that was announced has been given; more would be cut off.
    Complete,
}

/// Why an answer does not get on.
#[derive(Debug)]
pub enum Fault {
    /// The client, or the edge, is gone. Nobody is to blame and nobody to answer.
    ClientGone,
    /// The application did something wrong, or a signal handler raised.
    Python(PyErr),
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::ClientGone => PyBrokenPipeError::new_err("the client is gone"),
            Fault::Python(error) => error,
        }
    }
}

impl Exchange {
    /// Begins with a request; what was there before must have been finished.
    pub fn open(&self, job: Job, is_head_request: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.job = Some(job);
        state.head.clear();
        state.is_head_sent = false;
        state.is_head_request = is_head_request;
        state.sent = 0;
        state.is_disconnected = false;
    }

    /// The state, for an object of the application.
    ///
    /// # Errors
    ///
    /// `RuntimeError` while another thread of the application waits in a call on this request, and in
    /// a process that the application has forked: the request is its parent's.
    pub fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        if signals::is_disowned() {
            return Err(PyRuntimeError::new_err("the request belongs to the process that this one was forked from"));
        }
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(PyRuntimeError::new_err("another call on the same request is under way"))
            }
        }
    }

    /// The state, for the worker itself: waits for a thread of the application to leave it.
    ///
    /// A process that the application has forked ends here: it came back from the application, and has
    /// no business with the hop.
    pub fn own_state(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        if signals::is_disowned() {
            log::line(Level::Error, "a process forked by the application came back from it and is ended");
            crate::exit::now(crate::exit::FAILED);
        }
        loop {
            if let Ok(state) = self.state() {
                return state;
            }
            // Its holder needs the interpreter to go on.
            py.detach(|| std::thread::sleep(std::time::Duration::from_millis(1)));
        }
    }
}

impl State {
    /// What `start_response` does.
    ///
    /// # Errors
    ///
    /// `AssertionError` for a second call without `exc_info`, the exception of `exc_info` when the
    /// head is on its way, `TypeError` or `ValueError` for what a head must not have.
    pub fn start(
        &mut self,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.job()?;
        match exc_info {
            Some(exc_info) if self.is_head_sent => return Err(exception_of(exc_info)),
            None if self.head.is_set() => {
                return Err(PyAssertionError::new_err("start_response called a second time without exc_info"));
            }
            _ => {}
        }
        self.head.set(status, headers)
    }

    /// Gives a piece of the body to the hop, the head before the first one.
    ///
    /// What is longer than the announced Content-Length is cut off; nothing is sent where the
    /// answer has no body.
    ///
    /// # Errors
    ///
    /// [`Fault`]; `AssertionError` before `start_response`.
    pub fn send(&mut self, py: Python<'_>, octets: &[u8]) -> Result<Progress, Fault> {
        if octets.is_empty() {
            return Ok(Progress::Open);
        }
        if self.is_disconnected {
            return Ok(Progress::Complete);
        }
        self.send_head()?;
        let Some(wanted) = self.wanted() else { return Ok(Progress::Complete) };
        let octets = match usize::try_from(wanted) {
            Ok(wanted) if wanted < octets.len() => {
                log::line(Level::Error, "response body is longer than its Content-Length; the rest is cut off");
                octets.get(..wanted).unwrap_or_default()
            }
            _ => octets,
        };
        let Some(job) = &mut self.job else { return Err(over().into()) };
        waiting(py, |block| job.write(octets, block))?;
        self.sent += octets.len() as u64;
        Ok(if self.wanted() == Some(0) { Progress::Complete } else { Progress::Open })
    }

    /// Gives a part of a file to the hop as the rest of the body.
    ///
    /// # Errors
    ///
    /// As [`State::send`].
    pub fn send_file(&mut self, py: Python<'_>, file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Fault> {
        self.send_head()?;
        let length = self.wanted().unwrap_or(0).min(length);
        if length == 0 {
            return Ok(());
        }
        let Some(job) = &mut self.job else { return Err(over().into()) };
        waiting(py, |block| job.send_file(file, offset, length, block))?;
        self.sent += length;
        Ok(())
    }

    /// Tells the edge what has been sent so far.
    ///
    /// # Errors
    ///
    /// [`Fault::ClientGone`], or what the hop says.
    pub fn flush(&mut self) -> Result<(), Fault> {
        let Some(job) = &mut self.job else { return Err(over().into()) };
        job.flush().map_err(|error| fault(error, None))
    }

    /// Ends the answer after the last piece of its body. From here on there is no request.
    ///
    /// # Errors
    ///
    /// [`Fault`]; `AssertionError` when the application has never called `start_response`. The request is
    /// still there then.
    pub fn complete(&mut self) -> Result<(), Fault> {
        if self.is_disconnected {
            return Ok(());
        }
        self.send_head()?;
        let Some(job) = self.job.take() else { return Err(over().into()) };
        let announced = self.head.content_length().filter(|_| !self.is_bodyless());
        let is_short = announced.is_some_and(|announced| self.sent < announced);
        if is_short {
            log::line(Level::Error, "response body is shorter than its Content-Length; the connection is closed");
        }
        job.finish(!is_short);
        Ok(())
    }

    /// Ends the answer with what there is of it; whatever follows is dropped.
    ///
    /// # Errors
    ///
    /// [`Fault`]
    pub fn disconnect(&mut self) -> Result<(), Fault> {
        if self.is_over() {
            return Ok(());
        }
        if self.head.is_set() {
            self.complete()?;
        } else {
            self.abandon();
        }
        self.is_disconnected = true;
        Ok(())
    }

    /// Ends the request of an application that failed: answers 500 where the head has not gone yet, with `page` if there is one.
    pub fn fail(&mut self, py: Python<'_>, page: Option<Page>) {
        let Some(mut job) = self.job.take() else { return };
        if self.is_head_sent {
            return job.finish(false);
        }
        let text = match page {
            Some(page) => {
                self.head.set_failure(page.content_type);
                page.text.into_bytes()
            }
            None => self.head.set_internal_error().to_vec(),
        };
        let body = if self.is_head_request { &[] } else { text.as_slice() };
        let sent = job.write_head(self.head.encoded());
        let sent = sent.and_then(|()| job.write(body, &mut |wait| detached(py, wait)));
        self.sent = body.len() as u64;
        job.finish(sent.is_ok());
    }

    /// Ends the request without another word.
    pub fn abandon(&mut self) {
        if let Some(job) = self.job.take() {
            job.finish(false);
        }
    }

    /// The answer's status; 0 if there is none.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// How many header fields it has.
    pub fn header_count(&self) -> u16 {
        self.head.count()
    }

    /// Octets of its head, about as the client gets it.
    pub fn head_bytes(&self) -> u64 {
        self.head.encoded().len() as u64
    }

    /// Octets of its body.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the request has been ended.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.job.is_none()
    }

    /// The request.
    ///
    /// # Errors
    ///
    /// `ValueError` when it is over.
    pub fn job(&mut self) -> PyResult<&mut Job> {
        self.job.as_mut().ok_or_else(over)
    }

    fn send_head(&mut self) -> Result<(), Fault> {
        if self.is_head_sent {
            return Ok(());
        }
        if !self.head.is_set() {
            return Err(PyAssertionError::new_err("the application has not called start_response").into());
        }
        let Some(job) = &mut self.job else { return Err(over().into()) };
        job.write_head(self.head.encoded()).map_err(|error| fault(error, None))?;
        self.is_head_sent = true;
        Ok(())
    }

    /// How many more bytes of a body the answer takes; `None` when it has no body at all.
    fn wanted(&self) -> Option<u64> {
        match self.head.content_length() {
            _ if self.is_bodyless() => None,
            Some(announced) => Some(announced - self.sent),
            None => Some(u64::MAX),
        }
    }

    fn is_bodyless(&self) -> bool {
        self.is_head_request || self.head.is_bodyless()
    }
}

/// Runs a call on a job that may wait: without the interpreter, and looking after signals.
pub fn waiting<T>(
    py: Python<'_>,
    call: impl FnOnce(&mut daemun_channel::job::Block<'_>) -> Result<T, JobError>,
) -> Result<T, Fault> {
    let mut raised = None;
    let result = call(&mut |wait: Wait<'_>| {
        detached(py, wait)?;
        py.check_signals().map_err(|error| raised = Some(error))
    });
    result.map_err(|error| fault(error, raised))
}

fn detached(py: Python<'_>, wait: Wait<'_>) -> Result<(), ()> {
    py.detach(|| wait.run());
    Ok(())
}

fn fault(error: JobError, raised: Option<PyErr>) -> Fault {
    match (error, raised) {
        (_, Some(raised)) => Fault::Python(raised),
        (JobError::Aborted, None) => Fault::ClientGone,
        (JobError::System { what, source }, None) => {
            Fault::Python(PyOSError::new_err((source.raw_os_error(), format!("{what}: {source}"))))
        }
        (error, None) => Fault::Python(PyValueError::new_err(error.to_string())),
    }
}

fn over() -> PyErr {
    PyValueError::new_err("the request is over")
}

/// The exception of `(type, value, traceback)`, as a `raise` of it would go on.
fn exception_of(exc_info: &Bound<'_, PyAny>) -> PyErr {
    let parts = || -> PyResult<PyErr> {
        let value = exc_info.get_item(1)?;
        let traceback = exc_info.get_item(2)?;
        let error = PyErr::from_value(value);
        error.set_traceback(exc_info.py(), traceback.cast_into().ok());
        Ok(error)
    };
    parts().unwrap_or_else(|error| error)
}
