//! The application's text as octets: PEP 3333 has them as str with one octet per character.

use std::ffi::c_char;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

// SAFETY: the signature of every CPython from 3.3 on, all of which export it. Part of the stable ABI only
// since 3.10, which is why pyo3 does not declare it for abi3-py39. Spares an allocation per header name
// and value.
unsafe extern "C" {
    fn PyUnicode_AsUTF8AndSize(unicode: *mut ffi::PyObject, size: *mut ffi::Py_ssize_t) -> *const c_char;
}

/// The octets of `text`, one per character; `None` when a character is above U+00FF.
///
/// `spare` is used when they do not lie ready in the str itself.
#[inline]
pub fn octets<'a>(text: &'a Bound<'_, PyString>, spare: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let mut size = 0;
    // SAFETY: `text` is a str and lives as long as the slice made below; the interpreter is ours.
    let start = unsafe { PyUnicode_AsUTF8AndSize(text.as_ptr(), &mut size) };
    if start.is_null() {
        drop(PyErr::take(text.py())); // A lone surrogate, or no memory: no octets either way.
        return None;
    }
    // SAFETY: the interpreter says that `size` octets lie there, and a str never changes.
    let utf8 = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), usize::try_from(size).ok()?) };
    if utf8.is_ascii() { Some(utf8) } else { narrow(utf8, spare) }
}

/// The text as UTF-8.
///
/// # Errors
///
/// `UnicodeEncodeError` for a lone surrogate.
pub fn utf8<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a [u8]> {
    let mut size = 0;
    // SAFETY: `text` is a str and lives as long as the slice made below; the interpreter is ours.
    let start = unsafe { PyUnicode_AsUTF8AndSize(text.as_ptr(), &mut size) };
    if start.is_null() {
        return Err(PyErr::fetch(text.py()));
    }
    // SAFETY: the interpreter says that `size` octets lie there, and a str never changes.
    Ok(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), usize::try_from(size).unwrap_or(0)) })
}

/// UTF-8 to one octet per character.
fn narrow<'a>(utf8: &[u8], out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    out.clear();
    for character in std::str::from_utf8(utf8).ok()?.chars() {
        out.push(u8::try_from(u32::from(character)).ok()?);
    }
    Some(out)
}

/// A new str of the octets, one character each.
///
/// # Errors
///
/// `MemoryError`.
#[inline]
pub fn native<'py>(py: Python<'py>, octets: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: pointer and length are those of a slice; a null result is an exception that is set.
    unsafe {
        let length = octets.len() as ffi::Py_ssize_t; // A slice is never longer.
        let text = ffi::PyUnicode_DecodeLatin1(octets.as_ptr().cast(), length, std::ptr::null());
        Bound::from_owned_ptr_or_err(py, text)
    }
}

/// Whether we hold the only reference to an object.
#[inline]
pub fn is_unshared<T>(_py: Python<'_>, object: &Py<T>) -> bool {
    // SAFETY: `object` is alive and the interpreter is ours.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}
