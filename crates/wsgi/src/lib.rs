//! The extension module `_daemun`, which runs inside the Python of an application's own virtualenv.
//!
//! ```text
//!   master ──exec──▶ python: _daemun.main()            zygote: loads the application, forks, watches
//!                        └──fork──▶ worker 1..N        each with `threads` seats that take requests:
//!                             record ▶ environ ▶ application ▶ head, body ▶ the hop
//! ```
//!
//! It leaves to others: HTTP and every client (the edge), which interpreter runs it and with what
//! descriptors (the master), what bytes look like on the hop (`gateway`) and how they get there
//! (`channel`). It is the only crate that names pyo3. **Nothing an application does ends a worker but
//! a crash of the interpreter itself**; that costs the requests the worker was running.
//!
//! Modules in reading order: `zygote`, `interpreter`, `application`, `supervisor`, `place`, `crew`, `cheaper`, `wear`,
//! `commands`, `stats`, `report`, `attendants`, `shell`, `hooks`, `signals`, `ready`, `inheritance`, `exit` (a pool's
//! life); `worker`, `threads`, `respond`, `environ`, `exchange`, `start_response`, `head`,
//! `input`, `file_wrapper`, `failure_page`, `development` (a request's); `shared`, `commons`, `cache`, `application_signals`, `timers`,
//! `companions`, `uwsgi` (what the module `uwsgi` offers); `log`, `log_stream`, `log_encoder`,
//! `log_target`, `log_file`, `request_log`, `rotation`, `traceback`, `text`.

#![allow(unsafe_code)]

mod application;
mod application_signals;
mod attendants;
mod cache;
mod cheaper;
mod commands;
mod commons;
mod companions;
mod crew;
mod development;
mod environ;
mod exchange;
mod exit;
mod failure_page;
mod file_wrapper;
mod head;
mod hooks;
mod inheritance;
mod input;
mod interpreter;
mod log;
mod log_encoder;
mod log_file;
mod log_stream;
mod log_target;
mod place;
mod ready;
mod report;
mod request_log;
mod respond;
mod rotation;
mod shared;
mod shell;
mod signals;
mod start_response;
mod stats;
mod supervisor;
mod text;
mod threads;
mod timers;
mod traceback;
mod uwsgi;
mod wear;
mod worker;
mod zygote;

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

/// Runs a pool; called once, by the program that the master gives to `python -c`.
///
/// Never returns: raises `SystemExit` in the zygote and in every worker, so that the interpreter ends
/// as it does for any program, `atexit` handlers included.
#[pyfunction]
fn main(py: Python<'_>) -> PyResult<()> {
    let status = zygote::run(py);
    log_stream::finish_lines();
    Err(PySystemExit::new_err(status))
}

#[pymodule]
fn _daemun(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_class::<file_wrapper::FileWrapper>()
}
