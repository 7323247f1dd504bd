//! The environment of this process, which all that it starts inherit.

use std::io;

/// Gives variables of the environment their values.
///
/// # Errors
///
/// Where the process has more than one thread: another one might be reading them.
#[allow(unsafe_code, clippy::disallowed_methods)] // `env` is for this process and the forked edge too: the time zone of their lines
pub fn set_variables(variables: &[(String, String)]) -> io::Result<()> {
    if variables.is_empty() {
        return Ok(());
    }
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the environment cannot be changed once there are threads"));
    }
    for (name, value) in variables {
        // SAFETY: nobody else reads or writes the environment, for this is the only thread.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(())
}
