//! The environ dictionary of a request, built from its record without parsing.
//!
//! Three things make it cheap: what is the same for all requests is copied as one dictionary, keys
//! are interned once, and values that tend to repeat (host, user agent) are kept as objects.

use daemun_gateway::record::{Record, RecordFlags};
use daemun_gateway::variable::{VARIABLE_ID_END, VariableId, VariableName};
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::file_wrapper::FileWrapper;
use crate::text;

/// What `wsgi.multithread` and `wsgi.multiprocess` say.
#[derive(Clone, Copy, Debug)]
pub struct Concurrency {
    /// Several threads of this process run the application.
    pub threads: bool,
    /// Several processes run the application.
    pub processes: bool,
}

/// Makes environ dictionaries; one per thread that runs requests.
pub struct EnvironBuilder {
    base: Py<PyDict>,
    /// By number of the variable; `None` where there is no variable.
    keys: Vec<Option<Py<PyString>>>,
    recent: Vec<Option<Recent>>,
    input_key: Py<PyString>,
    scheme_key: Py<PyString>,
    https: Py<PyString>,
}

/// The last value of a variable.
struct Recent {
    octets: Vec<u8>,
    value: Py<PyAny>,
}

impl EnvironBuilder {
    /// `errors` is the stream of `wsgi.errors`.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn new(py: Python<'_>, errors: &Bound<'_, PyAny>, concurrency: Concurrency) -> PyResult<Self> {
        let base = PyDict::new(py);
        for key in ["SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"] {
            base.set_item(PyString::intern(py, key), "")?;
        }
        let set = |key: &str, value: Bound<'_, PyAny>| base.set_item(PyString::intern(py, key), value);
        set("wsgi.version", (1, 0).into_pyobject(py)?.into_any())?;
        set("wsgi.url_scheme", PyString::intern(py, "http").into_any())?;
        set("wsgi.input", py.None().into_bound(py))?;
        set("wsgi.errors", errors.clone())?;
        set("wsgi.multithread", concurrency.threads.into_pyobject(py)?.to_owned().into_any())?;
        set("wsgi.multiprocess", concurrency.processes.into_pyobject(py)?.to_owned().into_any())?;
        set("wsgi.run_once", false.into_pyobject(py)?.to_owned().into_any())?;
        set("wsgi.file_wrapper", py.get_type::<FileWrapper>().into_any())?;
        set("wsgi.input_terminated", true.into_pyobject(py)?.to_owned().into_any())?;

        let key = |number| {
            let id = VariableId::from_number(u16::try_from(number).ok()?)?;
            Some(PyString::intern(py, id.name()).unbind())
        };
        Ok(Self {
            base: base.unbind(),
            keys: (0..VARIABLE_ID_END).map(key).collect(),
            recent: (0..VARIABLE_ID_END).map(|_| None).collect(),
            input_key: PyString::intern(py, "wsgi.input").unbind(),
            scheme_key: PyString::intern(py, "wsgi.url_scheme").unbind(),
            https: PyString::intern(py, "https").unbind(),
        })
    }

    /// The environ of the request in `record`, with `input` as its `wsgi.input`.
    ///
    /// # Errors
    ///
    /// `MemoryError`; `RuntimeError` for a record that cannot be read, which our edge never writes.
    pub fn build<'py>(
        &mut self,
        py: Python<'py>,
        record: &Record<'_>,
        input: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.base.bind(py).copy()?;
        let mut is_https = record.front().flags.contains(RecordFlags::HTTPS);
        for pair in record.pairs() {
            let (name, octets) = pair.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
            match name {
                VariableName::Known(id) => {
                    match id {
                        VariableId::HTTPS => is_https |= is_on(octets),
                        VariableId::UWSGI_SCHEME => is_https = octets == b"https",
                        _ => {}
                    }
                    self.set_known(&environ, id, octets)?;
                }
                VariableName::Literal(name) | VariableName::Header(name) => {
                    set(&environ, &text::native(py, name)?, &text::native(py, octets)?)?;
                }
            }
        }
        set(&environ, self.input_key.bind(py), input)?;
        if is_https {
            set(&environ, self.scheme_key.bind(py), self.https.bind(py))?;
        }
        Ok(environ)
    }

    #[inline]
    fn set_known(&mut self, environ: &Bound<'_, PyDict>, id: VariableId, octets: &[u8]) -> PyResult<()> {
        let py = environ.py();
        let number = usize::from(id.number());
        let Some(key) = self.keys.get(number).and_then(Option::as_ref) else { return Ok(()) };
        let key = key.bind(py);
        if !is_kept(id, octets) {
            return set(environ, key, &text::native(py, octets)?);
        }
        let Some(place) = self.recent.get_mut(number) else { return Ok(()) };
        if let Some(recent) = place.as_ref().filter(|recent| recent.octets == octets) {
            return set(environ, key, recent.value.bind(py));
        }
        let value = text::native(py, octets)?;
        set(environ, key, &value)?;
        let mut kept = place.take().map(|recent| recent.octets).unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(octets);
        *place = Some(Recent { octets: kept, value: value.unbind() });
        Ok(())
    }
}

/// Whether a value is worth keeping for the next request: not what is secret, long, or always new.
#[inline]
fn is_kept(id: VariableId, octets: &[u8]) -> bool {
    let is_unlike_the_last = matches!(
        id,
        VariableId::REQUEST_URI
            | VariableId::PATH_INFO
            | VariableId::DOCUMENT_URI
            | VariableId::QUERY_STRING
            | VariableId::CONTENT_LENGTH
            | VariableId::REMOTE_PORT
            | VariableId::HTTP_COOKIE
            | VariableId::HTTP_AUTHORIZATION
    );
    !is_unlike_the_last && octets.len() <= KEPT_BYTES_MAX
}

/// `environ[key] = value` for keys that are str, whose hash and comparison run no code of the application.
#[inline]
fn set<K, V>(environ: &Bound<'_, PyDict>, key: &Bound<'_, K>, value: &Bound<'_, V>) -> PyResult<()> {
    // SAFETY: three live objects, the first a dict, and the interpreter is ours.
    let status = unsafe { ffi::PyDict_SetItem(environ.as_ptr(), key.as_ptr(), value.as_ptr()) };
    if status == 0 { Ok(()) } else { Err(PyErr::fetch(environ.py())) }
}

fn is_on(octets: &[u8]) -> bool {
    octets.eq_ignore_ascii_case(b"on") || octets == b"1" || octets.eq_ignore_ascii_case(b"true")
}

const KEPT_BYTES_MAX: usize = 512;
