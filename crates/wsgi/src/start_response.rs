//! `start_response` and the `write` it returns, as the application sees them.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::exchange::Exchange;

/// The second argument of the application.
///
/// # Source
///
/// PEP 3333, "The start_response() Callable".
#[pyclass(frozen, module = "_daemun", name = "start_response")]
pub struct StartResponse {
    exchange: Arc<Exchange>,
    write: Py<Write>,
}

impl StartResponse {
    /// For the requests of `exchange`.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn new(py: Python<'_>, exchange: Arc<Exchange>) -> PyResult<Self> {
        let write = Py::new(py, Write { exchange: Arc::clone(&exchange) })?;
        Ok(Self { exchange, write })
    }

    /// Whether nobody but this object holds the `write` it gave away.
    pub fn is_write_unshared(&self, py: Python<'_>) -> bool {
        crate::text::is_unshared(py, &self.write)
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, response_headers, exc_info = None))]
    fn __call__(
        &self,
        py: Python<'_>,
        status: &Bound<'_, PyAny>,
        response_headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Write>> {
        self.exchange.state()?.start(status, response_headers, exc_info)?;
        Ok(self.write.clone_ref(py))
    }
}

/// What `start_response` returns: sends at once, for applications written before iterables.
#[pyclass(frozen, module = "_daemun", name = "write")]
pub struct Write {
    exchange: Arc<Exchange>,
}

#[pymethods]
impl Write {
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let octets = crate::respond::chunk_octets(data)?;
        let mut state = self.exchange.state()?;
        state.send(py, octets)?;
        // An empty string sends nothing, and so no head either.
        if !octets.is_empty() {
            state.flush()?;
        }
        Ok(())
    }
}
