//! What a client is told of an error of the system.

use std::io;
use std::path::Path;

use daemun_http::StatusCode;
use daemun_server::log::Level;
use daemun_server::{Outcome, Request};
use rustix::io::Errno;

use crate::open_file::Reason;

/// Writes the error to the request's log; `missing` is the status where something is not there that ought to be.
pub(super) fn refuse(request: &Request, call: &str, path: &Path, error: &io::Error, missing: StatusCode) -> Outcome {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    let (level, status) = match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => (Level::Error, missing),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => (Level::Error, StatusCode::FORBIDDEN),
        Errno::EXIST => (Level::Error, StatusCode::METHOD_NOT_ALLOWED),
        Errno::NOSPC | Errno::DQUOT => (Level::Crit, StatusCode::INSUFFICIENT_STORAGE),
        _ => (Level::Crit, StatusCode::INTERNAL_SERVER_ERROR),
    };
    request.log(level, format_args!("{call} \"{}\" failed ({})", path.display(), Reason(errno)));
    Outcome::Finish(status)
}
