//! What a client sees of an exception of the application, where the configuration lets it see more than that there was one.

use std::fmt::Write;

use daemun_channel::handover::FailurePage;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::traceback;

/// The answer to a request that failed.
pub struct Page {
    /// Its type.
    pub content_type: &'static [u8],
    /// Its body.
    pub text: String,
}

impl Page {
    /// The page of this kind; `None` where the client is to see nothing.
    pub fn of(py: Python<'_>, kind: FailurePage, error: &PyErr, environ: Option<Py<PyDict>>) -> Option<Self> {
        let traceback = traceback::text(py, error);
        let request = environ.map(|environ| lines(environ.bind(py))).unwrap_or_default();
        match kind {
            FailurePage::Brief => None,
            FailurePage::Text => {
                let mut text = format!("The application raised an exception.\n\n{traceback}\nThe request:\n\n");
                for (name, value) in request {
                    let _ = writeln!(text, "{name} = {value}");
                }
                Some(Self { content_type: b"text/plain; charset=utf-8", text })
            }
            FailurePage::Page => {
                Some(Self { content_type: b"text/html; charset=utf-8", text: page(&traceback, &request) })
            }
        }
    }
}

/// Names and values of environ in order, values as Python shows them.
fn lines(environ: &Bound<'_, PyDict>) -> Vec<(String, String)> {
    let shown = |value: &Bound<'_, PyAny>| value.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string());
    let mut lines: Vec<_> = environ.iter().map(|(name, value)| (name.to_string(), shown(&value))).collect();
    lines.sort();
    lines
}

fn page(traceback: &str, request: &[(String, String)]) -> String {
    let last = traceback.trim_end().lines().last().unwrap_or_default();
    let mut text = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n<pre>{}</pre>\n<h2>The request</h2>\n<table>\n",
        escaped(traceback),
        title = escaped(last),
    );
    for (name, value) in request {
        let _ = writeln!(text, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(value));
    }
    text.push_str("</table></body></html>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "body{font:15px/1.5 sans-serif;margin:2em}h1{font-size:1.3em;color:#a00}h2{font-size:1.1em}\
pre{background:#f4f4f4;padding:1em;overflow:auto}th{text-align:left;font-weight:normal;color:#555;padding-right:1em;\
vertical-align:top}td{font-family:monospace;word-break:break-all}";
