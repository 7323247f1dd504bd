//! `wsgi.file_wrapper`: an iterable around a file, which goes to the client without passing through
//! Python when it is a file of the system.

use std::os::fd::{BorrowedFd, RawFd};

use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use rustix::fs::FileType;

/// What an application wraps around its open file.
///
/// # Source
///
/// PEP 3333, "Optional Platform-Specific File Handling".
#[pyclass(frozen, module = "_daemun")]
pub struct FileWrapper {
    filelike: Py<PyAny>,
    block_size: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, block_size = 8192))]
    fn new(filelike: Py<PyAny>, block_size: usize) -> Self {
        Self { filelike, block_size }
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let block = self.filelike.bind(py).call_method1("read", (self.block_size,))?;
        if block.is_truthy()? { Ok(block) } else { Err(PyStopIteration::new_err(())) }
    }

    /// Closes the file, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(close) = self.filelike.bind(py).getattr_opt("close")? {
            close.call0()?;
        }
        Ok(())
    }

    #[getter]
    fn filelike(&self, py: Python<'_>) -> Py<PyAny> {
        self.filelike.clone_ref(py)
    }

    #[getter]
    fn blksize(&self) -> usize {
        self.block_size
    }
}

/// The part of a file that a wrapper stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// The application's descriptor; open as long as the application leaves it open.
    pub descriptor: RawFd,
    /// Where reading would go on, in bytes.
    pub offset: u64,
    /// From there to the end of the file, in bytes.
    pub length: u64,
}

impl FileWrapper {
    /// The part of a regular file that iterating would yield; `None` when only iterating can tell.
    pub fn file_part(&self, py: Python<'_>) -> Option<FilePart> {
        let filelike = self.filelike.bind(py);
        if !is_read_as_stored(filelike).unwrap_or(false) {
            return None;
        }
        let descriptor = filelike.call_method0("fileno").ok()?.extract::<RawFd>().ok()?;
        if descriptor < 0 {
            return None;
        }
        // SAFETY: used for two system calls, which refuse a number that is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let facts = rustix::fs::fstat(borrowed).ok()?;
        if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
            return None;
        }
        let offset = match filelike.call_method0("tell") {
            // Not the descriptor's offset: a buffered file has read ahead.
            Ok(position) => position.extract::<u64>().ok()?,
            Err(_) => rustix::fs::tell(borrowed).ok()?,
        };
        let length = u64::try_from(facts.st_size).ok()?.saturating_sub(offset);
        Some(FilePart { descriptor, offset, length })
    }
}

/// Whether `read` yields the octets that the descriptor has: not so for text and for compressed
/// files, whose `fileno` is that of the compressed file below them.
fn is_read_as_stored(filelike: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = filelike.py();
    let io = py.import("io")?;
    let is = |object: &Bound<'_, PyAny>, class: &str| object.is_instance(&io.getattr(class)?);
    if is(filelike, "BufferedReader")? || is(filelike, "BufferedRandom")? {
        return is(&filelike.getattr("raw")?, "FileIO");
    }
    Ok(!is(filelike, "BufferedIOBase")? && !is(filelike, "TextIOBase")? && filelike.hasattr("fileno")?)
}
