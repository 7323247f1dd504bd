//! Where things are when nobody says so.

use std::path::{Path, PathBuf};

/// nginx's prefix on Debian.
pub const DEFAULT_PREFIX: &str = "/usr/share/nginx";

/// nginx's configuration on Debian.
pub const DEFAULT_CONFIGURATION: &str = "/etc/nginx/nginx.conf";

/// The error log of `daemun web`, below the prefix.
pub const DEFAULT_ERROR_LOG: &str = "logs/error.log";

/// The pid file of `daemun web`, below the prefix.
pub const DEFAULT_PID: &str = "logs/nginx.pid";

/// Where `daemun web` and `daemun run` keep large bodies, below the prefix, as nginx does.
pub const DEFAULT_BODY_FOLDER: &str = "client_body_temp";

/// `path` from the root on; `.` and `..` stay, as links may stand before them.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The extension module: beside the program, or in `../lib/daemun`.
///
/// # Errors
/// A text that says where it was looked for.
pub fn extension_module() -> Result<PathBuf, String> {
    let program = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .map_err(|error| format!("the program's own path cannot be found: {error}"))?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let candidates = [folder.join(MODULE), folder.join("../lib/daemun").join(MODULE)];
    let found = candidates.iter().find(|path| path.exists());
    found.cloned().ok_or_else(|| {
        format!("{MODULE} is missing: looked for {} and {}", candidates[0].display(), candidates[1].display())
    })
}

const MODULE: &str = "libdaemun_wsgi.so";
