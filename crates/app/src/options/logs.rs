//! What uWSGI's options say about logs.

use std::path::PathBuf;

use daemun_channel::handover::{Logs, RequestLines};

use crate::options::pool::LogTarget;

/// What is logged, and where; the log itself is [`crate::options::PoolOptions::loggers`] and `logto`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Lines of requests: nobody has said that there are none.
    pub is_disabled: bool,
    /// Somebody has said something about them.
    pub is_asked: bool,
    /// Which requests are logged whatever else is said, and how lines look.
    pub requests: RequestLines,
    /// What becomes of lines that are about no request's end.
    pub encoders: Vec<String>,
    /// What stands before each of them.
    pub date_format: Option<String>,
    /// Octets of a file that are enough.
    pub size_max: Option<u64>,
    /// Where it is moved to.
    pub backup_name: Option<PathBuf>,
    /// Files whose change asks for that.
    pub touch_rotate: Vec<PathBuf>,
    /// Files whose change asks for logs to be opened anew.
    pub touch_reopen: Vec<PathBuf>,
    /// The log is emptied at the start.
    pub truncates: bool,
    /// Rights of the log's file.
    pub mode: Option<u32>,
    /// The log's file is given to the user that the application runs as.
    pub gives_away: bool,
}

impl LogOptions {
    /// As the application's processes need it. The first file of `loggers` is their standard error.
    #[must_use]
    pub fn handed_over(&self, loggers: &[LogTarget]) -> Logs {
        let mut has_file = false;
        let mut spell = |target: &LogTarget| match target {
            LogTarget::StandardOutput => "stdio".to_owned(),
            LogTarget::Other(text) => text.clone(),
            LogTarget::File(_) if !std::mem::replace(&mut has_file, true) => "stdio".to_owned(),
            LogTarget::File(path) => format!("file:{}", path.display()),
        };
        let requests = RequestLines {
            all: !self.is_disabled && self.is_asked,
            time_format: self.date_format.clone(),
            ..self.requests.clone()
        };
        Logs {
            loggers: loggers.iter().map(&mut spell).collect(),
            encoders: self.encoders.clone(),
            date_format: self.date_format.clone(),
            size_max: self.size_max.unwrap_or(0),
            backup_name: self.backup_name.clone(),
            touch_rotate: self.touch_rotate.clone(),
            touch_reopen: self.touch_reopen.clone(),
            requests,
        }
    }
}
