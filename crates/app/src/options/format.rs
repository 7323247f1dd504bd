//! The forms that a file of options may have. All say the same: a section of names and values, in order.

use std::path::Path;

use daemun_conf::{Diagnostic, FileId, Severity, Span, nearest};

use crate::options::setting::Setting;
use crate::options::{ini, json, xml, yaml};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Ini,
    Yaml,
    Json,
    Xml,
}

/// What one section of a file holds.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub settings: Vec<Setting>,
    pub is_found: bool,
    /// The names of all sections of the file.
    pub names: Vec<String>,
}

impl Format {
    /// The form of files that the option of this name reads; `None` if their names' endings say it, or it reads none.
    pub(crate) fn of_option(name: &str) -> Option<Self> {
        Some(match name {
            "ini" => Self::Ini,
            "yaml" | "yml" => Self::Yaml,
            "json" | "js" => Self::Json,
            "xml" | "xmlconfig" => Self::Xml,
            _ => return None,
        })
    }

    /// The form that the ending of `PATH` or `PATH:SECTION` says.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let path = name.rsplit_once(':').map_or(name, |(path, _)| path);
        Self::of_option(Path::new(path).extension()?.to_str()?).filter(|_| !path.ends_with(".xmlconfig"))
    }

    /// Reads the settings of the section `asked`; without one, of the usual one.
    pub(crate) fn read_section(
        self,
        file: FileId,
        text: &str,
        asked: Option<&str>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Section {
        let wanted = asked.unwrap_or(USUAL_SECTION);
        match self {
            Self::Ini => ini::read_section(file, text, wanted, diagnostics),
            Self::Yaml => yaml::read_section(file, text, wanted, diagnostics),
            Self::Json => json::read_section(file, text, wanted, diagnostics),
            Self::Xml => xml::read_section(file, text, asked, diagnostics),
        }
    }
}

/// The warning for a section that a file does not have.
pub(crate) fn missing_section(span: Option<Span>, wanted: &str, path: &str, names: &[String]) -> Diagnostic {
    let message = format!("there is no section \"{wanted}\" in {path}: nothing of it is read");
    let diagnostic = match span {
        Some(span) => Diagnostic::warning(span, message),
        None => Diagnostic::error_without_place(message).with_severity(Severity::Warning),
    };
    diagnostic.with_suggestion(nearest(wanted, names.iter().map(String::as_str)))
}

/// The section that is read where none is named.
pub(crate) const USUAL_SECTION: &str = "uwsgi";
