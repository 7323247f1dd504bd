//! The interpreter before the application is loaded: folder, environment, search path, streams.

use std::ffi::CString;
use std::io;

use daemun_channel::Handover;
use daemun_channel::handover::{Application, Workers};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::log_stream::{Stream, text_stream};
use crate::ready::Ready;

/// Becomes the user that the application runs as. Does nothing when it is that user already.
///
/// # Errors
///
/// What the system says: only root may become somebody else.
pub fn become_user(workers: &Workers) -> io::Result<()> {
    let done = |status: i32| if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    let is_other_user = workers.uid.is_some_and(|uid| uid != rustix::process::getuid().as_raw());
    let is_other_group = workers.gid.is_some_and(|gid| gid != rustix::process::getgid().as_raw());
    if !is_other_user && !is_other_group {
        return Ok(());
    }
    // SAFETY: pointer and length are those of a live slice. libc's functions, not the system calls,
    // since they change every thread of the process.
    done(unsafe { libc::setgroups(workers.groups.len(), workers.groups.as_ptr()) })?;
    if let Some(gid) = workers.gid {
        // SAFETY: takes a number.
        done(unsafe { libc::setgid(gid) })?;
    }
    if let Some(uid) = workers.uid {
        // SAFETY: takes a number.
        done(unsafe { libc::setuid(uid) })?;
    }
    Ok(())
}

/// Sets folder, environment, `sys.path`, `sys.argv`, `sys.stdout` and `sys.stderr`.
///
/// # Errors
///
/// An exception of Python's that names what failed, such as a folder that is not there.
pub fn prepare(py: Python<'_>, settings: &Application) -> PyResult<()> {
    let os = py.import("os")?;
    let environment = os.getattr("environ")?;
    for ours in [Handover::VARIABLE, Ready::VARIABLE] {
        environment.call_method1("pop", (ours, py.None()))?;
    }
    for (name, value) in &settings.env {
        environment.set_item(name, value)?;
    }
    if let Some(folder) = &settings.chdir {
        os.call_method1("chdir", (folder,))?;
    }

    let sys = py.import("sys")?;
    let path = sys.getattr("path")?.cast_into::<PyList>()?;
    // Python's own entry for a program given by `-c`; the folder by name is better, as it survives a chdir.
    if path.get_item(0).is_ok_and(|first| first.to_string().is_empty()) {
        path.del_item(0)?;
    }
    path.insert(0, os.call_method0("getcwd")?)?;
    for pattern in &settings.pythonpath {
        // As in uWSGI: what matches nothing is taken as it stands, and the last stands first.
        let pattern = pattern.to_string_lossy();
        let found: Vec<String> = py.import("glob")?.call_method1("glob", (&pattern,))?.extract()?;
        let found = if found.is_empty() { vec![pattern.into_owned()] } else { found };
        for folder in found {
            path.insert(0, folder)?;
        }
    }
    let arguments = std::iter::once("daemun").chain(settings.argv.iter().map(String::as_str));
    sys.setattr("argv", arguments.collect::<Vec<_>>())?;
    replace_streams(py)?;
    // A crash in an extension module shows where in Python it happened.
    py.import("faulthandler")?.call_method0("enable").map(drop)
}

fn replace_streams(py: Python<'_>) -> PyResult<()> {
    let sys = py.import("sys")?;
    for (name, stream) in [("stdout", Stream::Output), ("stderr", Stream::Errors)] {
        if let Ok(old) = sys.getattr(name) {
            // It may be None, or closed: what was lost is lost.
            let _ = old.call_method0("flush");
        }
        sys.setattr(name, text_stream(py, stream)?)?;
    }
    Ok(())
}

/// Names the process as `ps -o comm` shows it, if the settings want it named.
pub fn name_process(workers: &Workers, role: &str) {
    let name = match (&workers.procname, workers.auto_procname) {
        (Some(name), _) => name.clone(),
        (None, true) => format!("daemun {role}"),
        (None, false) => return,
    };
    let name = format!("{}{name}", workers.procname_prefix.as_deref().unwrap_or_default());
    if let Ok(name) = CString::new(name) {
        // Only a name: nothing depends on it.
        let _ = rustix::thread::set_name(&name);
    }
}
