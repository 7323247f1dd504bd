//! What the module says of the pool and of its configuration.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyModule, PyTuple};

use crate::commons::Commons;

/// Adds them.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>, commons: &Commons) -> PyResult<()> {
    let py = module.py();
    let bytes = |text: &str| PyBytes::new(py, text.as_bytes());
    let (facilities, numbers) = (&commons.facilities, &commons.numbers);
    // Of uWSGI's whose functions these are: who asks wants to know what can be called.
    module.add("version", bytes(VERSION))?;
    module.add("version_info", (2, 0, 31, 0, bytes("daemun")))?;
    module.add("daemun_version", env!("CARGO_PKG_VERSION"))?;
    module.add("hostname", bytes(rustix::system::uname().nodename().to_str().unwrap_or_default()))?;
    module.add("numproc", numbers.workers)?;
    module.add("cores", numbers.threads)?;
    module.add("threads", numbers.threads)?;
    // The interpreter's own threads always run here.
    module.add("has_threads", 1)?;
    module.add("buffer_size", facilities.buffer_size)?;
    module.add("started_on", commons.started)?;
    module.add("opt", options(py, &facilities.options)?)?;
    module.add("magic_table", magic_table(py, &facilities.options)?)?;
    module.add("sockets", PyList::empty(py))?;
    module.add("applications", py.None())?;
    module.add("loop", py.None())?;
    module.add("unbit", py.None())?;
    module.add("is_a_reload", commons.is_reload)?;
    if let Some(pidfile) = &facilities.pidfile {
        module.add("pidfile", bytes(pidfile))?;
    }
    module.add("SPOOL_RETRY", -1)?;
    module.add("SPOOL_OK", -2)?;
    module.add("SPOOL_IGNORE", 0)?;
    if !facilities.spoolers.is_empty() {
        let folders = facilities.spoolers.iter().map(|path| bytes(&path.to_string_lossy()));
        module.add("spoolers", PyTuple::new(py, folders.collect::<Vec<_>>())?)?;
    }
    Ok(())
}

/// By name: the value as bytes, `True` where none was given, a list where there were several.
fn options<'py>(py: Python<'py>, settings: &[(String, Option<String>)]) -> PyResult<Bound<'py, PyDict>> {
    let options = PyDict::new(py);
    for (name, value) in settings {
        let value = match value {
            Some(text) => PyBytes::new(py, text.as_bytes()).into_any(),
            None => pyo3::types::PyBool::new(py, true).to_owned().into_any(),
        };
        match options.get_item(name)? {
            None => options.set_item(name, value)?,
            Some(before) => match before.cast::<PyList>() {
                Ok(list) => list.append(value)?,
                Err(_) => options.set_item(name, PyList::new(py, [before, value])?)?,
            },
        }
    }
    // What some look for before they start a thread holds here in any case.
    for name in ["enable-threads", "py-call-uwsgi-fork-hooks"] {
        if !options.contains(name)? {
            options.set_item(name, true)?;
        }
    }
    Ok(options)
}

/// What `%x` stands for in a configuration, as far as it is the same for all of it.
fn magic_table<'py>(py: Python<'py>, settings: &[(String, Option<String>)]) -> PyResult<Bound<'py, PyDict>> {
    let table = PyDict::new(py);
    let folder = std::env::current_dir().unwrap_or_default();
    let last = |name: &str| settings.iter().rev().find(|(other, _)| other == name).and_then(|(_, value)| value.clone());
    let put = |letter: &str, text: String| {
        table.set_item(PyBytes::new(py, letter.as_bytes()), PyBytes::new(py, text.as_bytes()))
    };
    put("v", folder.to_string_lossy().into_owned())?;
    put("h", rustix::system::uname().nodename().to_string_lossy().into_owned())?;
    put("V", VERSION.to_owned())?;
    put("u", rustix::process::getuid().as_raw().to_string())?;
    put("g", rustix::process::getgid().as_raw().to_string())?;
    put("k", std::thread::available_parallelism().map_or(1, usize::from).to_string())?;
    if let Some(file) = last("ini").or_else(|| last("config")) {
        let path = std::path::absolute(&file).unwrap_or_else(|_| file.clone().into());
        let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        put("o", file)?;
        put("p", path.to_string_lossy().into_owned())?;
        put("s", name(path.file_name()))?;
        put("n", name(path.file_stem()))?;
        put("e", name(path.extension()))?;
        let folder = path.parent().map(|folder| format!("{}/", folder.to_string_lossy().trim_end_matches('/')));
        put("d", folder.unwrap_or_default())?;
    }
    Ok(table)
}

/// The uWSGI whose functions the module has.
const VERSION: &str = "2.0.31";
