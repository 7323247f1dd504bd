//! `wsgi.input`: the request body as a file that ends where the body ends.
//!
//! A small body lies in the slot; a larger one is asked for at the first read and then comes by a
//! descriptor: a file that the edge has filled, or a pipe that it is filling.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use daemun_channel::{BodyKind, RequestBody};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::exchange::{Exchange, waiting};

/// The object under `wsgi.input`.
///
/// # Source
///
/// PEP 3333, "Input and Error Streams".
#[pyclass(frozen, module = "_daemun", name = "input")]
pub struct Input {
    exchange: Arc<Exchange>,
    reader: Mutex<Reader>,
}

impl Input {
    /// For the requests of `exchange`.
    pub fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange, reader: Mutex::default() }
    }

    /// Begins with the body of a new request.
    pub fn open(&self, body: RequestBody) {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.source = match body {
            RequestBody::None => Source::Ended,
            RequestBody::Inline => Source::Inline,
            RequestBody::Deferred { length } => Source::Deferred { length },
        };
        reader.buffer.clear();
        reader.position = 0;
    }

    fn reader(&self) -> PyResult<MutexGuard<'_, Reader>> {
        match self.reader.try_lock() {
            Ok(reader) => Ok(reader),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(PyRuntimeError::new_err("another thread is reading wsgi.input")),
        }
    }
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size = None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let mut reader = self.reader()?;
        let wanted = limit(size);
        while reader.available().len() < wanted {
            let more = wanted - reader.available().len();
            if !reader.fill(py, &self.exchange, more)? {
                break;
            }
        }
        Ok(reader.take(py, wanted))
    }

    #[pyo3(signature = (size = None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        self.reader()?.line(py, &self.exchange, limit(size))
    }

    #[pyo3(signature = (hint = None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let mut reader = self.reader()?;
        let lines = PyList::empty(py);
        let enough = match hint {
            Some(0) | None => usize::MAX,
            hint => limit(hint),
        };
        let mut total = 0;
        while total < enough {
            let line = reader.line(py, &self.exchange, usize::MAX)?;
            if line.as_bytes().is_empty() {
                break;
            }
            total += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let line = self.reader()?.line(py, &self.exchange, usize::MAX)?;
        if line.as_bytes().is_empty() { Err(PyStopIteration::new_err(())) } else { Ok(line) }
    }

    /// Does nothing: the body ends with the request.
    fn close(&self) {}
}

/// What has been read and not been taken, and where more comes from.
#[derive(Debug, Default)]
struct Reader {
    source: Source,
    buffer: Vec<u8>,
    position: usize,
}

#[derive(Debug, Default)]
enum Source {
    /// There is no more.
    #[default]
    Ended,
    /// In the slot.
    Inline,
    /// To be asked for.
    Deferred {
        /// Bytes to come, if known.
        length: Option<u64>,
    },
    /// A file that holds the body from `offset` to `end`, or to its own end.
    File { file: OwnedFd, offset: u64, end: Option<u64> },
    /// A pipe that ends where the body ends, `left` bytes from here if known.
    Pipe { pipe: OwnedFd, left: Option<u64> },
}

impl Reader {
    fn available(&self) -> &[u8] {
        self.buffer.get(self.position..).unwrap_or_default()
    }

    fn take<'py>(&mut self, py: Python<'py>, most: usize) -> Bound<'py, PyBytes> {
        let available = self.available();
        let taken = available.get(..most).unwrap_or(available);
        let bytes = PyBytes::new(py, taken);
        self.position += taken.len();
        if self.position == self.buffer.len() {
            self.buffer.clear();
            self.position = 0;
            self.buffer.shrink_to(READ_BYTES_MAX);
        }
        bytes
    }

    fn line<'py>(&mut self, py: Python<'py>, exchange: &Exchange, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        let mut searched = 0;
        loop {
            let available = self.available();
            let fresh = available.get(searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|octet| *octet == b'\n') {
                let length = (searched + end + 1).min(most);
                return Ok(self.take(py, length));
            }
            searched = available.len();
            if searched >= most || !self.fill(py, exchange, READ_BYTES_MIN)? {
                return Ok(self.take(py, most));
            }
        }
    }

    /// Reads on, about `wanted` bytes; `false` at the end of the body.
    fn fill(&mut self, py: Python<'_>, exchange: &Exchange, wanted: usize) -> PyResult<bool> {
        if self.position > 0 {
            self.buffer.drain(..self.position);
            self.position = 0;
        }
        if let Source::Deferred { length } = self.source {
            self.source = ask(py, exchange, length)?;
        }
        let wanted = wanted.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let before = self.buffer.len();
        match &mut self.source {
            Source::Ended | Source::Deferred { .. } => return Ok(false),
            Source::Inline => {
                self.buffer.extend_from_slice(exchange.state()?.job()?.inline_body());
                self.source = Source::Ended;
            }
            Source::File { file, offset, end } => {
                let left = end.map_or(u64::MAX, |end| end.saturating_sub(*offset));
                let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
                let buffer = &mut self.buffer;
                let count = interruptible(py, || read_at(file, buffer, *offset, wanted))?;
                *offset += count as u64;
                if count == 0 && end.is_some_and(|end| *offset < end) {
                    return Err(broken_off());
                }
            }
            Source::Pipe { pipe, left } => fill_from_pipe(py, exchange, pipe, left, wanted, &mut self.buffer)?,
        }
        if self.buffer.len() > before {
            return Ok(true);
        }
        self.source = Source::Ended;
        Ok(false)
    }
}

fn fill_from_pipe(
    py: Python<'_>,
    exchange: &Exchange,
    pipe: &OwnedFd,
    left: &mut Option<u64>,
    wanted: usize,
    buffer: &mut Vec<u8>,
) -> PyResult<()> {
    let wanted = wanted.min(PIPE_READ_BYTES_MAX);
    let wanted = left.map_or(wanted, |left| wanted.min(usize::try_from(left).unwrap_or(usize::MAX)));
    if wanted == 0 {
        return Ok(());
    }
    let count = interruptible(py, || read_some(pipe, buffer, wanted))?;
    // A body of unknown length ends with the pipe, but so does one whose client, or whose edge, is gone.
    if count == 0 && (left.is_some() || !exchange.state()?.job()?.is_body_whole()) {
        return Err(broken_off());
    }
    *left = left.map(|left| left.saturating_sub(count as u64));
    Ok(())
}

fn ask(py: Python<'_>, exchange: &Exchange, announced: Option<u64>) -> PyResult<Source> {
    let mut state = exchange.state()?;
    let job = state.job()?;
    let source = match waiting(py, |block| job.need_body(block)) {
        Ok(source) => source,
        Err(crate::exchange::Fault::ClientGone) => return Err(broken_off()),
        Err(fault) => return Err(fault.into()),
    };
    let length = source.length.or(announced);
    Ok(match source.kind {
        BodyKind::File => Source::File { file: source.descriptor, offset: 0, end: length },
        BodyKind::Pipe => Source::Pipe { pipe: source.descriptor, left: length },
    })
}

/// Runs a system call without the interpreter, again after a signal unless its handler raises.
fn interruptible(py: Python<'_>, mut call: impl FnMut() -> Result<usize, Errno> + Send) -> PyResult<usize> {
    loop {
        match py.detach(&mut call) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => py.check_signals()?,
            Err(errno) => return Err(PyOSError::new_err((errno.raw_os_error(), "cannot read the request body"))),
        }
    }
}

fn read_at(file: &OwnedFd, buffer: &mut Vec<u8>, offset: u64, most: usize) -> Result<usize, Errno> {
    let before = buffer.len();
    buffer.resize(before + most, 0);
    let room = buffer.get_mut(before..).unwrap_or_default();
    let result = rustix::io::pread(file, room, offset);
    buffer.truncate(before + *result.as_ref().unwrap_or(&0));
    result
}

fn read_some(pipe: &OwnedFd, buffer: &mut Vec<u8>, most: usize) -> Result<usize, Errno> {
    let before = buffer.len();
    buffer.resize(before + most, 0);
    let room = buffer.get_mut(before..).unwrap_or_default();
    let result = match rustix::io::read(pipe, &mut *room) {
        Err(Errno::AGAIN) => {
            let mut ready = [PollFd::new(pipe, PollFlags::IN)];
            rustix::event::poll(&mut ready, None).and_then(|_| rustix::io::read(pipe, room))
        }
        result => result,
    };
    buffer.truncate(before + *result.as_ref().unwrap_or(&0));
    // A poll that was answered by somebody else's read: as if a signal had come.
    if result == Err(Errno::AGAIN) { Err(Errno::INTR) } else { result }
}

fn limit(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX)
}

fn broken_off() -> PyErr {
    PyOSError::new_err((Errno::CONNRESET.raw_os_error(), "the client broke off its request body"))
}

/// The least and the most that is read at once, in bytes.
const READ_BYTES_MIN: usize = 16 * 1024;
const READ_BYTES_MAX: usize = 1024 * 1024;

/// A pipe holds no more, in bytes.
const PIPE_READ_BYTES_MAX: usize = 64 * 1024;
