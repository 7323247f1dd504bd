//! Exceptions of the application, in the log.

use pyo3::prelude::*;

use crate::log::{self, Level};

/// Writes an exception with its traceback to the log, each line with the id of the request.
pub fn log(py: Python<'_>, what: &str, error: &PyErr) {
    let summary = error.to_string();
    log::line(Level::Error, format_args!("{what}: {}", summary.lines().next().unwrap_or_default()));
    for line in text(py, error).lines() {
        log::line(Level::Error, line);
    }
}

/// The text that Python prints for an uncaught exception.
pub fn text(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let arguments = (error.get_type(py), error.value(py), error.traceback(py));
        let lines = py.import("traceback")?.getattr("format_exception")?.call1(arguments)?;
        Ok(lines.extract::<Vec<String>>()?.concat())
    };
    // An exception whose text raises one: what can be said without its help.
    format().unwrap_or_else(|_| error.get_type(py).to_string())
}
