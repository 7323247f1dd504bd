//! Loading the application, and saying clearly why it cannot be loaded.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use daemun_channel::handover::{Application, Mount};
use pyo3::exceptions::{PyModuleNotFoundError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};

use crate::head::kind;
use crate::traceback;

/// The loaded applications of a pool, by the prefix they answer.
pub struct Applications {
    mounted: Vec<Mounted>,
    manage_script_name: bool,
    /// The usual case: one application for everything.
    only: Option<Py<PyAny>>,
}

struct Mounted {
    prefix: String,
    callable: Py<PyAny>,
}

impl Applications {
    /// Loads every mount of `settings`.
    ///
    /// # Errors
    ///
    /// The first [`LoadError`].
    pub fn load(py: Python<'_>, settings: &Application) -> Result<Self, LoadError> {
        for name in &settings.import {
            import(py, name)?;
        }
        if settings.mounts.is_empty() {
            return Err(LoadError::Nothing);
        }
        let mut mounted = Vec::new();
        for mount in &settings.mounts {
            let callable = load(py, mount)?;
            mounted.push(Mounted { prefix: mount.script_name.trim_end_matches('/').to_owned(), callable });
        }
        let only = match mounted.as_slice() {
            [Mounted { prefix, callable }] if prefix.is_empty() => Some(callable.clone_ref(py)),
            _ => None,
        };
        // The longest prefix wins.
        mounted.sort_by_key(|mounted| std::cmp::Reverse(mounted.prefix.len()));
        Ok(Self { mounted, manage_script_name: settings.manage_script_name, only })
    }

    /// No application at all: every request is answered 500.
    pub fn none() -> Self {
        Self { mounted: Vec::new(), manage_script_name: false, only: None }
    }

    /// The application for a request; with `manage_script_name`, its prefix is moved from
    /// `PATH_INFO` to `SCRIPT_NAME`.
    ///
    /// # Errors
    ///
    /// `RuntimeError` when no application is mounted there.
    pub fn choose<'py>(&self, py: Python<'py>, environ: &Bound<'py, PyDict>) -> PyResult<&Bound<'py, PyAny>> {
        if let Some(only) = &self.only {
            return Ok(only.bind(py));
        }
        let value = |key: &str| -> PyResult<String> {
            Ok(environ.get_item(key)?.map_or_else(String::new, |value| value.to_string()))
        };
        let script_name = value("SCRIPT_NAME")?;
        let path = if self.manage_script_name { value("PATH_INFO")? } else { script_name.clone() };
        for Mounted { prefix, callable } in &self.mounted {
            let Some(rest) = path.strip_prefix(prefix.as_str()) else { continue };
            if !rest.is_empty() && !rest.starts_with('/') && !prefix.is_empty() {
                continue;
            }
            if self.manage_script_name && !prefix.is_empty() {
                environ.set_item("SCRIPT_NAME", format!("{script_name}{prefix}"))?;
                environ.set_item("PATH_INFO", rest)?;
            }
            return Ok(callable.bind(py));
        }
        Err(PyRuntimeError::new_err(format!("no application is loaded for {path:?}")))
    }
}

/// Why an application cannot be loaded. Its text is what the log shows.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The settings name no application.
    #[error("no application is configured: set module or wsgi-file")]
    Nothing,

    /// There is no such module. An import *inside* of it that fails is [`LoadError::Raised`].
    #[error("ModuleNotFoundError: no module named \"{module}\"; looked in {}", searched.join(", "))]
    NoModule {
        /// The module that was asked for.
        module: String,
        /// `sys.path`.
        searched: Vec<String>,
    },

    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The `wsgi-file`.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    /// The module or file raised an exception while it was executed.
    #[error("{place} raised an exception:\n{}", traceback.trim_end())]
    Raised {
        /// The module or file.
        place: String,
        /// The exception as Python prints it.
        traceback: String,
    },

    /// The module is there and the callable is not.
    #[error("{place} has no \"{callable}\"{hint}")]
    NoCallable {
        /// The module or file.
        place: String,
        /// The name that was looked for.
        callable: String,
        /// What to set instead, or nothing.
        hint: String,
    },

    /// The name is there and cannot be called.
    #[error("\"{callable}\" of {place} is no WSGI application: {kind} is not callable")]
    NotCallable {
        /// The module or file.
        place: String,
        /// The name.
        callable: String,
        /// The type of what it names.
        kind: String,
    },
}

fn load(py: Python<'_>, mount: &Mount) -> Result<Py<PyAny>, LoadError> {
    let (place, module, named) = match (&mount.module, &mount.wsgi_file) {
        (Some(module), _) => {
            let (name, callable) = module.split_once(':').map_or((module.as_str(), None), |(n, c)| (n, Some(c)));
            (format!("module \"{name}\""), import(py, name)?, callable)
        }
        (None, Some(path)) => (format!("{}", path.display()), execute(py, path)?, None),
        (None, None) => return Err(LoadError::Nothing),
    };
    let callable = named.or(mount.callable.as_deref()).unwrap_or(DEFAULT_CALLABLE);
    find(py, &place, &module, callable)
}

fn import<'py>(py: Python<'py>, name: &str) -> Result<Bound<'py, PyModule>, LoadError> {
    py.import(name).map_err(|error| {
        let missing = missing_module(py, &error);
        let is_itself = missing.is_some_and(|missing| name == missing || name.starts_with(&format!("{missing}.")));
        if is_itself {
            LoadError::NoModule { module: name.to_owned(), searched: search_path(py) }
        } else {
            LoadError::Raised { place: format!("module \"{name}\""), traceback: traceback::text(py, &error) }
        }
    })
}

/// Executes a file whose name need not be one that Python would import.
fn execute<'py>(py: Python<'py>, path: &PathBuf) -> Result<Bound<'py, PyModule>, LoadError> {
    let source = std::fs::read(path).map_err(|source| LoadError::File { path: path.clone(), source })?;
    let run = || -> PyResult<Bound<'py, PyModule>> {
        let file = path.to_string_lossy();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = CString::new(format!("wsgi_file_{}", name.replace('.', "_")))?;
        let module = PyModule::new(py, &name.to_string_lossy())?;
        module.setattr("__file__", &*file)?;
        py.import("sys")?.getattr("modules")?.set_item(module.name()?, &module)?;
        let builtins = py.import("builtins")?;
        // Octets, not text: the file may declare its encoding.
        let code = builtins.getattr("compile")?.call1((source.as_slice(), &*file, "exec"))?;
        builtins.getattr("exec")?.call1((code, module.dict()))?;
        Ok(module)
    };
    run().map_err(|error| LoadError::Raised {
        place: format!("{}", path.display()),
        traceback: traceback::text(py, &error),
    })
}

/// Follows `name`, `name.attribute` and `factory()`.
fn find(py: Python<'_>, place: &str, module: &Bound<'_, PyModule>, callable: &str) -> Result<Py<PyAny>, LoadError> {
    let raised = |error: PyErr| LoadError::Raised { place: place.to_owned(), traceback: traceback::text(py, &error) };
    let (name, is_factory) = callable.strip_suffix("()").map_or((callable, false), |name| (name, true));
    let mut object = module.as_any().clone();
    for attribute in name.split('.') {
        object = object.getattr_opt(attribute).map_err(raised)?.ok_or_else(|| LoadError::NoCallable {
            place: place.to_owned(),
            callable: callable.to_owned(),
            hint: hint(module),
        })?;
    }
    if is_factory {
        object = object.call0().map_err(raised)?;
    }
    if object.is_callable() {
        return Ok(object.unbind());
    }
    Err(LoadError::NotCallable { place: place.to_owned(), callable: callable.to_owned(), kind: kind(&object) })
}

/// Names that applications are usually called by and that the module has.
fn hint(module: &Bound<'_, PyModule>) -> String {
    let is_there = |name: &&&str| module.getattr(**name).is_ok_and(|object| object.is_callable());
    match USUAL_CALLABLES.iter().find(is_there) {
        Some(name) => format!("; it has \"{name}\": set callable = {name}"),
        None => "; set callable to the name of the WSGI application".to_owned(),
    }
}

fn missing_module(py: Python<'_>, error: &PyErr) -> Option<String> {
    if !error.is_instance_of::<PyModuleNotFoundError>(py) {
        return None;
    }
    error.value(py).getattr("name").ok()?.extract().ok()
}

fn search_path(py: Python<'_>) -> Vec<String> {
    let path = || py.import("sys")?.getattr("path")?.extract::<Vec<String>>();
    path().unwrap_or_default()
}

const DEFAULT_CALLABLE: &str = "application";
const USUAL_CALLABLES: &[&str] = &["app", "wsgi_app", "wsgi", "handler", "main"];
