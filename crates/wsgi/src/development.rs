//! What whoever writes the application wants of a server: the source as it is now, and the files that Django knows of.

use std::ffi::CStr;
use std::sync::OnceLock;
use std::time::SystemTime;

use daemun_channel::handover::Application;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::{ready, traceback};

/// Notes that loading begins: what is changed from here on has not been seen.
pub fn note_time_of_loading() {
    // Called once, in the process that loads.
    let _ = LOADING.set(SystemTime::now());
}

static LOADING: OnceLock<SystemTime> = OnceLock::new();

/// Starts the thread that looks at the files of all modules, if the settings want it, and asks for a reload when one has changed.
///
/// # Errors
///
/// An exception of Python's when no thread can be started.
pub fn watch_sources(py: Python<'_>, settings: &Application) -> PyResult<()> {
    if settings.autoreload_milliseconds == 0 {
        return Ok(());
    }
    let loading = LOADING.get().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    // A decade of milliseconds is exact in a float.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let seconds = settings.autoreload_milliseconds as f64 / 1000.0;
    let module = PyModule::from_code(py, WATCHER, c"daemun_autoreload.py", c"daemun_autoreload")?;
    let folder = settings.development.then(|| std::env::current_dir().unwrap_or_default());
    let ask = |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| ready::ask(ready::RELOAD);
    let reload = PyCFunction::new_closure(py, None, None, ask)?;
    let arguments = (seconds, settings.autoreload_ignored.clone(), folder, loading.as_secs_f64(), reload);
    module.getattr("start")?.call1(arguments).map(drop)
}

/// The application with the files before it that `django.contrib.staticfiles` finds, where that is installed and Django debugs.
pub fn with_static_files(py: Python<'_>, application: &Py<PyAny>) -> Py<PyAny> {
    let wrapped = PyModule::from_code(py, STATIC_FILES, c"daemun_static.py", c"daemun_static")
        .and_then(|module| module.getattr("wrap")?.call1((application,)));
    match wrapped {
        Ok(wrapped) => wrapped.unbind(),
        Err(error) => {
            traceback::log(py, "django.contrib.staticfiles cannot be used", &error);
            application.clone_ref(py)
        }
    }
}

const WATCHER: &CStr = c"\
import os, sys, threading, time

LEFT_OUT = {'node_modules', '__pycache__', 'site-packages'}
FILES_MAX = 20_000


def start(seconds, ignored, folder, loading, reload):
    arguments = (seconds, set(ignored), folder and os.fspath(folder), loading, reload)
    threading.Thread(target=watch, args=arguments, name='daemun-autoreload', daemon=True).start()


def sources(ignored, folder):
    for name, module in list(sys.modules.items()):
        path = getattr(module, '__file__', None)
        if isinstance(path, str) and name not in ignored:
            yield path[:-1] if path.endswith(('.pyc', '.pyo')) else path
    if folder:
        for root, folders, names in os.walk(folder):
            folders[:] = [
                name for name in folders
                if not name.startswith('.') and name not in LEFT_OUT
                and not os.path.exists(os.path.join(root, name, 'pyvenv.cfg'))
            ]
            for name in names:
                if name.endswith('.py'):
                    yield os.path.join(root, name)


def times(ignored, folder):
    found = {}
    for path in sources(ignored, folder):
        if len(found) >= FILES_MAX:
            break
        try:
            found[os.path.abspath(path)] = os.stat(path).st_mtime
        except OSError:
            pass  # It is being written anew, or lies in an archive.
    return found


def watch(seconds, ignored, folder, loading, reload):
    known = None
    while True:
        now = times(ignored, folder)
        if known is None:
            changed = [path for path, time_of in now.items() if loading < time_of <= time.time()]
        else:
            # A module that is imported late was there before; a new file of the folder was not.
            changed = [path for path, time_of in now.items() if known.get(path, min(time_of, loading)) != time_of]
        known = dict(known or {}, **now)
        if changed:
            print('%s has changed: the application is loaded anew' % changed[0], file=sys.stderr, flush=True)
            reload()
        time.sleep(seconds)
";

const STATIC_FILES: &CStr = c"\
import sys


def wrap(application):
    django = sys.modules.get('django.conf')
    if django is None or not django.settings.configured or not django.settings.DEBUG:
        return application
    from django.apps import apps
    if not apps.ready or not apps.is_installed('django.contrib.staticfiles'):
        return application
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    return StaticFilesHandler(application)
";
