//! The interpreter before the application is loaded: folder, environment, search path, streams.

use std::ffi::CString;
use std::io;

use daemun_channel::Handover;
use daemun_channel::handover::{Application, ProcessSettings, Workers};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::log::{self, Level};
use crate::log_stream::{Stream, text_stream};
use crate::ready::Ready;

/// Priority and limits, for this process and those that are forked from it. What the system refuses is told.
pub fn limit(settings: &ProcessSettings) {
    use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
    let tell = |what: &str, result: rustix::io::Result<()>| {
        if let Err(error) = result {
            log::line(Level::Error, format_args!("{what} cannot be set: {error}"));
        }
    };
    if let Some(priority) = settings.priority {
        tell("prio", setpriority_process(None, priority));
    }
    let limits = [
        ("limit-as", Resource::As, settings.address_space_max),
        ("limit-nproc", Resource::Nproc, settings.processes_max),
    ];
    for (name, resource, limit) in limits.into_iter().filter_map(|(name, one, limit)| Some((name, one, limit?))) {
        let maximum = getrlimit(resource).maximum.map_or(limit, |hard| hard.min(limit));
        tell(name, setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) }));
    }
}

/// Binds a worker to its processors: the next ones after those of the worker before it, as in uWSGI.
pub fn pin(settings: &ProcessSettings, number: u16) {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = usize::from(settings.cpu_affinity);
    if wanted == 0 {
        return;
    }
    let first = usize::from(number) * wanted;
    let mut processors = rustix::thread::CpuSet::new();
    (first..first + wanted).for_each(|processor| processors.set(processor % count));
    if let Err(error) = rustix::thread::sched_setaffinity(None, &processors) {
        log::line(Level::Error, format_args!("cpu-affinity cannot be set: {error}"));
    }
}

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

/// Names the process as ps shows it, if the settings want it named.
pub fn name_process(handover: &Handover, role: &str) {
    let workers = &handover.workers;
    let name = match (&workers.procname, workers.auto_procname) {
        (Some(name), _) => name.clone(),
        (None, true) => format!("daemun {role}"),
        (None, false) => return,
    };
    let prefix = workers.procname_prefix.as_deref().unwrap_or_default();
    let name = format!("{prefix}{name}{}", handover.process.procname_append.as_deref().unwrap_or_default());
    write_title(name.as_bytes());
    if let Ok(name) = CString::new(name) {
        // Only a name: nothing depends on it.
        let _ = rustix::thread::set_name(&name);
    }
}

/// Puts a text in the place of the command line, cut to the room that this has.
fn write_title(text: &[u8]) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in parentheses, which may hold blanks.
    let fields: Vec<usize> = stat
        .rsplit(')')
        .next()
        .map_or_else(Vec::new, |rest| rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect());
    let (Some(&start), Some(&end)) = (fields.get(ARG_START), fields.get(ARG_END)) else { return };
    if start == 0 || end <= start {
        return;
    }
    // The last octet stays zero, or the kernel would read on.
    let room = end - start;
    let length = text.len().min(room - 1);
    // SAFETY: the kernel says that the words of the command line lie there, in this process's own writable memory; Python has
    // read them and needs them no more.
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, room);
        std::ptr::copy_nonoverlapping(text.as_ptr(), start as *mut u8, length);
    }
}

/// `arg_start` and `arg_end` of proc_pid_stat(5), fields 48 and 49, counted from behind the name.
const ARG_START: usize = 45;
const ARG_END: usize = 46;
