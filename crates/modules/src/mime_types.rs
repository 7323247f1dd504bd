//! Lists of MIME types, as `gzip_types` and its like have them.

use std::sync::Arc;

use daemun_conf::Arguments;

/// Types whose answers a filter is for; `text/html` is always among them.
#[derive(Clone, Debug, Default)]
pub enum MimeTypes {
    /// `text/html` alone.
    #[default]
    Html,
    /// Every type: `*`.
    All,
    /// `text/html` and these.
    These(Arc<[Box<[u8]>]>),
}

impl MimeTypes {
    /// Reads all words of a directive.
    #[must_use]
    pub fn read(arguments: &Arguments<'_>) -> Self {
        let words = arguments.words();
        if words.iter().any(|word| word.text == "*") {
            return Self::All;
        }
        Self::These(words.iter().map(|word| word.text.as_bytes().into()).collect())
    }

    /// Whether an answer with this `Content-Type`, if any, is meant. Parameters are not looked at.
    #[must_use]
    pub fn wants(&self, content_type: Option<&[u8]>) -> bool {
        let is = |listed: &[u8]| {
            let essence = content_type.unwrap_or_default().split(|octet| *octet == b';').next().unwrap_or_default();
            listed.eq_ignore_ascii_case(essence.trim_ascii_end())
        };
        match self {
            Self::All => true,
            Self::Html => is(b"text/html"),
            Self::These(types) => is(b"text/html") || types.iter().any(|listed| is(listed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_without_case_and_parameters() {
        let these = MimeTypes::These(Arc::new([b"text/CSS".as_slice().into()]));
        assert!(these.wants(Some(b"Text/css; charset=utf-8")) && these.wants(Some(b"text/html")));
        assert!(!these.wants(Some(b"text/plain")) && !these.wants(None));
        assert!(MimeTypes::All.wants(None) && !MimeTypes::Html.wants(Some(b"text/html5")));
    }
}
