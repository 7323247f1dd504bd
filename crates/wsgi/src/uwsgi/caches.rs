//! Caches as the application sees them.

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyModule};
use pyo3::wrap_pyfunction;

use super::{octets, ours, true_or_none};
use crate::cache::{Cache, Existing, Operation};

/// `True`, or `None` where there is no such cache or it cannot be done.
type Verdict = PyResult<Option<Py<PyAny>>>;

/// Adds the functions.
///
/// # Errors
///
/// `MemoryError`
pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(cache_get, module)?)?;
    module.add_function(wrap_pyfunction!(cache_set, module)?)?;
    module.add_function(wrap_pyfunction!(cache_update, module)?)?;
    module.add_function(wrap_pyfunction!(cache_del, module)?)?;
    module.add_function(wrap_pyfunction!(cache_exists, module)?)?;
    module.add_function(wrap_pyfunction!(cache_clear, module)?)?;
    module.add_function(wrap_pyfunction!(cache_inc, module)?)?;
    module.add_function(wrap_pyfunction!(cache_dec, module)?)?;
    module.add_function(wrap_pyfunction!(cache_mul, module)?)?;
    module.add_function(wrap_pyfunction!(cache_div, module)?)?;
    module.add_function(wrap_pyfunction!(cache_num, module)?)?;
    module.add_function(wrap_pyfunction!(cache_keys, module)?)
}

/// The cache of this name, the first without one.
fn named(name: Option<&str>) -> PyResult<Option<&'static Cache>> {
    let caches = &ours()?.caches;
    match name {
        None | Some("") => Ok(caches.first()),
        Some(name) if name.contains('@') => Err(PyNotImplementedError::new_err(
            "caches of other servers are not supported by daemun; a cache of this server has a name without @",
        )),
        Some(name) => Ok(caches.iter().find(|cache| cache.name() == name)),
    }
}

#[pyfunction]
#[pyo3(signature = (key, cache = None, /))]
fn cache_get<'py>(
    py: Python<'py>,
    key: &Bound<'py, PyAny>,
    cache: Option<&str>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let key = octets(key)?;
    Ok(named(cache)?.and_then(|cache| cache.get(&key)).map(|value| PyBytes::new(py, &value)))
}

#[pyfunction]
#[pyo3(signature = (key, value, expires = 0, cache = None, /))]
fn cache_set(key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, expires: i64, cache: Option<&str>) -> Verdict {
    set(key, value, expires, cache, Existing::Keep)
}

#[pyfunction]
#[pyo3(signature = (key, value, expires = 0, cache = None, /))]
fn cache_update(key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, expires: i64, cache: Option<&str>) -> Verdict {
    set(key, value, expires, cache, Existing::Replace)
}

fn set(
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    expires: i64,
    cache: Option<&str>,
    existing: Existing,
) -> Verdict {
    let py = key.py();
    let (key, value) = (octets(key)?, octets(value)?);
    let expires = u64::try_from(expires).unwrap_or(0);
    Ok(true_or_none(py, named(cache)?.is_some_and(|cache| cache.set(&key, &value, expires, existing))))
}

#[pyfunction]
#[pyo3(signature = (key, cache = None, /))]
fn cache_del(key: &Bound<'_, PyAny>, cache: Option<&str>) -> Verdict {
    let octets = octets(key)?;
    Ok(true_or_none(key.py(), named(cache)?.is_some_and(|cache| cache.remove(&octets))))
}

#[pyfunction]
#[pyo3(signature = (key, cache = None, /))]
fn cache_exists(key: &Bound<'_, PyAny>, cache: Option<&str>) -> Verdict {
    let octets = octets(key)?;
    Ok(true_or_none(key.py(), named(cache)?.is_some_and(|cache| cache.has(&octets))))
}

#[pyfunction]
#[pyo3(signature = (cache = None, /))]
fn cache_clear(py: Python<'_>, cache: Option<&str>) -> Verdict {
    Ok(true_or_none(py, named(cache)?.map(Cache::clear).is_some()))
}

#[pyfunction]
#[pyo3(signature = (key, value = 1, expires = 0, cache = None, /))]
fn cache_inc(key: &Bound<'_, PyAny>, value: i64, expires: i64, cache: Option<&str>) -> Verdict {
    calculate(key, Operation::Add, value, expires, cache)
}

#[pyfunction]
#[pyo3(signature = (key, value = 1, expires = 0, cache = None, /))]
fn cache_dec(key: &Bound<'_, PyAny>, value: i64, expires: i64, cache: Option<&str>) -> Verdict {
    calculate(key, Operation::Subtract, value, expires, cache)
}

#[pyfunction]
#[pyo3(signature = (key, value = 2, expires = 0, cache = None, /))]
fn cache_mul(key: &Bound<'_, PyAny>, value: i64, expires: i64, cache: Option<&str>) -> Verdict {
    calculate(key, Operation::Multiply, value, expires, cache)
}

#[pyfunction]
#[pyo3(signature = (key, value = 2, expires = 0, cache = None, /))]
fn cache_div(key: &Bound<'_, PyAny>, value: i64, expires: i64, cache: Option<&str>) -> Verdict {
    calculate(key, Operation::Divide, value, expires, cache)
}

fn calculate(key: &Bound<'_, PyAny>, operation: Operation, value: i64, expires: i64, cache: Option<&str>) -> Verdict {
    let octets = octets(key)?;
    let expires = u64::try_from(expires).unwrap_or(0);
    let is_done = named(cache)?.is_some_and(|cache| cache.calculate(&octets, operation, value, expires));
    Ok(true_or_none(key.py(), is_done))
}

#[pyfunction]
#[pyo3(signature = (key, cache = None, /))]
fn cache_num(key: &Bound<'_, PyAny>, cache: Option<&str>) -> PyResult<i64> {
    let octets = octets(key)?;
    Ok(named(cache)?.map_or(0, |cache| cache.number(&octets)))
}

#[pyfunction]
#[pyo3(signature = (cache = None, /))]
fn cache_keys<'py>(py: Python<'py>, cache: Option<&str>) -> PyResult<Bound<'py, PyList>> {
    let cache = named(cache)?.ok_or_else(|| PyValueError::new_err("no local uWSGI cache available"))?;
    PyList::new(py, cache.keys().iter().map(|key| PyBytes::new(py, key)))
}
