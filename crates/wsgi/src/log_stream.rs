//! `sys.stdout`, `sys.stderr` and `wsgi.errors` of the application: whole lines into the log, each
//! with the request of the thread that wrote it.
//!
//! A [`LogStream`] takes octets and stands where a text stream has its buffer; the text stream
//! itself is Python's `io.TextIOWrapper`, so that everything applications do with one works.

use std::cell::RefCell;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::log::{self, Level};

/// Which of the application's streams it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// `sys.stdout`.
    Output,
    /// `sys.stderr` and `wsgi.errors`.
    Errors,
}

impl Stream {
    fn label(self) -> &'static str {
        match self {
            Self::Output => "stdout",
            Self::Errors => "stderr",
        }
    }
}

/// The binary stream below a text stream: collects a line per thread and writes it to the log.
#[pyclass(frozen, module = "_daemun")]
pub struct LogStream {
    stream: Stream,
}

#[pymethods]
impl LogStream {
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        // SAFETY: `data` is a live object; the result is a new reference to bytes, or null and an exception.
        let bytes = unsafe { Bound::from_owned_ptr_or_err(data.py(), ffi::PyBytes_FromObject(data.as_ptr())) }?;
        let octets = bytes.cast::<PyBytes>()?.as_bytes();
        add(self.stream, octets);
        Ok(octets.len())
    }

    /// Does nothing: a line is written when it is whole, and at the end of the request.
    fn flush(&self) {}

    /// Does nothing: the log outlives what the application thinks of it.
    fn close(&self) {}

    fn fileno(&self) -> i32 {
        2
    }

    fn readable(&self) -> bool {
        false
    }

    fn writable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        false
    }

    fn isatty(&self) -> bool {
        false
    }

    #[getter]
    fn closed(&self) -> bool {
        false
    }

    #[getter]
    fn name(&self) -> String {
        format!("<{}>", self.stream.label())
    }

    #[getter]
    fn mode(&self) -> &'static str {
        "wb"
    }
}

/// A text stream into the log.
///
/// # Errors
///
/// What `io.TextIOWrapper` raises.
pub fn text_stream(py: Python<'_>, stream: Stream) -> PyResult<Bound<'_, PyAny>> {
    let options = PyDict::new(py);
    options.set_item("encoding", "utf-8")?;
    options.set_item("errors", "backslashreplace")?;
    // Every write comes to us at once: the line is collected here, per thread, not there.
    options.set_item("write_through", true)?;
    py.import("io")?.getattr("TextIOWrapper")?.call((LogStream { stream },), Some(&options))
}

/// Writes the lines that this thread has begun; at the end of a request, of a thread, before a fork.
pub fn finish_lines() {
    LINES.with_borrow_mut(|lines| {
        for stream in [Stream::Output, Stream::Errors] {
            let line = &mut lines[stream as usize];
            if !line.is_empty() {
                log::labelled(Level::App, stream.label(), line);
                line.clear();
            }
        }
    });
}

fn add(stream: Stream, mut octets: &[u8]) {
    LINES.with_borrow_mut(|lines| {
        let line = &mut lines[stream as usize];
        while let Some(end) = octets.iter().position(|octet| *octet == b'\n') {
            let (head, rest) = octets.split_at(end);
            line.extend_from_slice(head);
            log::labelled(Level::App, stream.label(), line.strip_suffix(b"\r").unwrap_or(line));
            line.clear();
            octets = rest.get(1..).unwrap_or_default();
        }
        line.extend_from_slice(octets);
        if line.len() > LINE_BYTES_MAX {
            log::labelled(Level::App, stream.label(), line);
            line.clear();
        }
    });
}

/// A line that grows longer is written in pieces.
const LINE_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    static LINES: RefCell<[Vec<u8>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}
