//! Loading the application, and saying clearly why it cannot be loaded.

use std::io;
use std::path::{Path, PathBuf};

use daemun_channel::handover::{Application, Mount, Paste};
use pyo3::exceptions::{PyModuleNotFoundError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString};

use crate::development;
use crate::head::kind;
use crate::traceback;

/// The loaded applications of a pool, by the prefix they answer.
pub struct Applications {
    mounted: Vec<Mounted>,
    manage_script_name: bool,
    /// The usual case: one application for everything.
    only: Option<Py<PyAny>>,
    /// Why there is none, where the client is to see it.
    failure: Option<String>,
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
            if name.contains('/') || name.ends_with(".py") {
                execute(py, name.as_ref())?
            } else {
                import(py, name)?
            };
        }
        if settings.mounts.is_empty() {
            return Err(LoadError::Nothing);
        }
        let mut mounted = Vec::new();
        for mount in &settings.mounts {
            let prefix = as_environ(mount.script_name.trim_end_matches('/'));
            mounted.extend(load(py, mount, &prefix)?);
        }
        if settings.development {
            for one in &mut mounted {
                one.callable = development::with_static_files(py, &one.callable);
            }
        }
        let only = match mounted.as_slice() {
            [Mounted { prefix, callable }] if prefix.is_empty() => Some(callable.clone_ref(py)),
            _ => None,
        };
        // The longest prefix wins.
        mounted.sort_by_key(|mounted| std::cmp::Reverse(mounted.prefix.len()));
        Ok(Self { mounted, manage_script_name: settings.manage_script_name, only, failure: None })
    }

    /// No application at all: every request is answered 500, with `failure` as far as the client may see why.
    pub fn none(failure: Option<String>) -> Self {
        Self { mounted: Vec::new(), manage_script_name: false, only: None, failure }
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
        Err(PyRuntimeError::new_err(match &self.failure {
            Some(failure) => failure.clone(),
            None => format!("no application is loaded for {path:?}"),
        }))
    }
}

/// Why an application cannot be loaded. Its text is what the log shows.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The settings name no application.
    #[error("no application is configured: set module, wsgi-file or mount")]
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

/// Text as PEP 3333 has it in environ: an octet is a character.
fn as_environ(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// Loads what the mount names: one application, or several where the name is a dictionary of them.
fn load(py: Python<'_>, mount: &Mount, prefix: &str) -> Result<Vec<Mounted>, LoadError> {
    let (place, module, named) = match (&mount.module, &mount.wsgi_file, &mount.code, &mount.paste) {
        (Some(module), ..) => {
            let (name, callable) = module.split_once(':').map_or((module.as_str(), None), |(n, c)| (n, Some(c)));
            (format!("module \"{name}\""), import(py, name)?, callable)
        }
        (None, Some(path), ..) => (format!("{}", path.display()), execute(py, path)?, None),
        (None, None, Some(code), _) => {
            ("eval".to_owned(), execute_text(py, "wsgi_eval", "eval", code.as_bytes())?, None)
        }
        (None, None, None, Some(paste)) => {
            let callable = paste_deploy(py, paste)?;
            return Ok(vec![Mounted { prefix: prefix.to_owned(), callable }]);
        }
        (None, None, None, None) => return Err(LoadError::Nothing),
    };
    let callable = named.or(mount.callable.as_deref()).unwrap_or(DEFAULT_CALLABLE);
    // As in uWSGI: a module that has several says so by a dictionary.
    let several = module.getattr("applications").ok().and_then(|several| several.cast_into::<PyDict>().ok());
    match several {
        Some(several) if mount.script_name.is_empty() => load_several(py, &place, &module, &several),
        _ => Ok(vec![Mounted { prefix: prefix.to_owned(), callable: find(py, &place, &module, callable)? }]),
    }
}

/// `applications = {"/": application, "/shop": "shop"}`: the callables, or their names in the module.
fn load_several(
    py: Python<'_>,
    place: &str,
    module: &Bound<'_, PyModule>,
    several: &Bound<'_, PyDict>,
) -> Result<Vec<Mounted>, LoadError> {
    let mut mounted = Vec::new();
    for (prefix, application) in several.iter() {
        let prefix = as_environ(prefix.to_string().trim_end_matches('/'));
        let callable = match application.cast::<PyString>() {
            Ok(name) => find(py, place, module, &name.to_string())?,
            Err(_) => callable(place, &prefix, application)?,
        };
        mounted.push(Mounted { prefix, callable });
    }
    Ok(mounted)
}

/// `paste.deploy.loadapp`, as uWSGI and Pyramid's pserve call it.
fn paste_deploy(py: Python<'_>, paste: &Paste) -> Result<Py<PyAny>, LoadError> {
    let place = paste.uri.clone();
    let raised = |error: PyErr| LoadError::Raised { place: place.clone(), traceback: traceback::text(py, &error) };
    let deploy = import(py, "paste.deploy")?;
    let (scheme, path) = paste.uri.split_once(':').unwrap_or(("config", &paste.uri));
    let is_file = scheme == "config";
    let absolute = std::path::absolute(path).map_err(|source| LoadError::File { path: path.into(), source })?;
    let uri = if is_file { format!("config:{}", absolute.display()) } else { paste.uri.clone() };
    if paste.has_loggers && is_file {
        let defaults = PyDict::new(py);
        let folder = absolute.parent().unwrap_or(&absolute).display().to_string();
        let configured = defaults.set_item("__file__", &absolute).and_then(|()| {
            defaults.set_item("here", folder)?;
            let options = PyDict::new(py);
            options.set_item("disable_existing_loggers", false)?;
            py.import("logging.config")?.getattr("fileConfig")?.call((&absolute, defaults), Some(&options))
        });
        configured.map_err(raised)?;
    }
    let loaded = deploy.getattr("loadapp").and_then(|load| load.call1((uri, paste.name.as_deref())));
    callable(&place, "loadapp", loaded.map_err(raised)?)
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
fn execute<'py>(py: Python<'py>, path: &Path) -> Result<Bound<'py, PyModule>, LoadError> {
    let source = std::fs::read(path).map_err(|source| LoadError::File { path: path.to_owned(), source })?;
    let file = path.to_string_lossy();
    // Two files of one name in two folders are two modules.
    let name: String = file.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    execute_text(py, &format!("wsgi_file_{name}"), &file, &source)
}

/// Executes Python text as the module `name`.
fn execute_text<'py>(
    py: Python<'py>,
    name: &str,
    file: &str,
    source: &[u8],
) -> Result<Bound<'py, PyModule>, LoadError> {
    let run = || -> PyResult<Bound<'py, PyModule>> {
        let module = PyModule::new(py, name)?;
        module.setattr("__file__", file)?;
        py.import("sys")?.getattr("modules")?.set_item(module.name()?, &module)?;
        let builtins = py.import("builtins")?;
        // Octets, not text: the file may declare its encoding.
        let code = builtins.getattr("compile")?.call1((source, file, "exec"))?;
        builtins.getattr("exec")?.call1((code, module.dict()))?;
        Ok(module)
    };
    run().map_err(|error| LoadError::Raised { place: file.to_owned(), traceback: traceback::text(py, &error) })
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
    self::callable(place, callable, object)
}

fn callable(place: &str, name: &str, object: Bound<'_, PyAny>) -> Result<Py<PyAny>, LoadError> {
    if object.is_callable() {
        return Ok(object.unbind());
    }
    Err(LoadError::NotCallable { place: place.to_owned(), callable: name.to_owned(), kind: kind(&object) })
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
