//! uWSGI's hooks: small deeds at the turning points of a pool's life, `ACTION:ARGUMENT`.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use daemun_channel::handover::Hook;

use crate::log::{self, Level};
use crate::shell;

/// Runs the hooks of a phase, in order.
///
/// # Errors
///
/// The first one that fails, in words; those behind it are not run.
pub fn run(hooks: &[Hook], phase: &str) -> Result<(), String> {
    for hook in hooks.iter().filter(|hook| hook.phase == phase) {
        let action = &hook.action;
        act(action).map_err(|error| format!("hook-{phase} \"{action}\" failed: {error}"))?;
    }
    Ok(())
}

/// The same where nothing hangs on it: what fails is told.
pub fn run_or_tell(hooks: &[Hook], phase: &str) {
    if let Err(text) = run(hooks, phase) {
        log::line(Level::Error, text);
    }
}

fn act(text: &str) -> io::Result<()> {
    let (name, argument) = text.split_once(':').unwrap_or((text, ""));
    let (first, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    match name {
        "exec" => shell::run(argument),
        "safeexec" => {
            if let Err(error) = shell::run(argument) {
                log::line(Level::Warning, format_args!("{text}: {error}"));
            }
            Ok(())
        }
        "print" | "log" => {
            log::line(Level::Notice, argument);
            Ok(())
        }
        "cd" | "chdir" => std::env::set_current_dir(argument),
        "mkdir" => fs::create_dir(argument),
        "creat" | "create" => File::create(argument).map(drop),
        "write" => fs::write(first, rest),
        "writen" => fs::write(first, format!("{rest}\n")),
        "append" => append(first, rest.as_bytes()),
        "appendn" => append(first, format!("{rest}\n").as_bytes()),
        "writefifo" => write_fifo(first, rest),
        "unlink" => fs::remove_file(argument),
        "chmod" => change_mode(first, rest),
        "sticky" => fs::metadata(argument).and_then(|found| {
            fs::set_permissions(argument, Permissions::from_mode(found.permissions().mode() | 0o1000))
        }),
        "chown" | "chown2" => shell::run(&format!("chown {} {}", owner(rest), quoted(first))),
        "putenv" => put_environment(argument),
        "hostname" => rustix::system::sethostname(argument.as_bytes()).map_err(io::Error::from),
        "mount" => mount(argument),
        "umount" => unmount(first),
        "unix_signal" => send_signal(first, rest),
        "wait_for_fs" => wait_for(argument, |path| path.exists()),
        "wait_for_file" => wait_for(argument, Path::is_file),
        "wait_for_dir" => wait_for(argument, Path::is_dir),
        "wait_for_socket" => wait_for(argument, |path| {
            use std::os::unix::fs::FileTypeExt;
            fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
        }),
        "exit" => crate::exit::now(argument.parse().unwrap_or(0)),
        _ => Err(io::Error::other("there is no such action in daemun")),
    }
}

fn append(path: &str, text: &[u8]) -> io::Result<()> {
    File::options().append(true).create(true).open(path)?.write_all(text)
}

/// Without a reader it fails instead of waiting.
fn write_fifo(path: &str, text: &str) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let pipe = rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    File::from(pipe).write_all(text.as_bytes())
}

fn change_mode(path: &str, mode: &str) -> io::Result<()> {
    let mode = u32::from_str_radix(mode.trim(), 8).map_err(|_| io::Error::other("that is no octal mode"))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// `user group` as chown(1) reads it.
fn owner(text: &str) -> String {
    let mut words = text.split_whitespace();
    let user = quoted(words.next().unwrap_or_default());
    words.next().map_or(user.clone(), |group| format!("{user}:{}", quoted(group)))
}

/// One word for the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn put_environment(text: &str) -> io::Result<()> {
    let text = CString::new(text)?;
    // SAFETY: putenv() keeps the pointer, so the text is never freed; there is one thread, before the application is loaded or
    // after the fork.
    if unsafe { libc::putenv(text.into_raw()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `TYPE SOURCE TARGET [FLAGS]`, flags by commas.
fn mount(text: &str) -> io::Result<()> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [kind, source, target, rest @ ..] = words.as_slice() else {
        return Err(io::Error::other("it must be mount:TYPE SOURCE TARGET [FLAGS]"));
    };
    let mut flags = 0;
    for name in rest.first().into_iter().flat_map(|flags| flags.split(',')) {
        let known = MOUNT_FLAGS.iter().find(|(known, _)| *known == name);
        flags |= known.map(|(_, flag)| *flag).ok_or_else(|| io::Error::other(format!("unknown flag \"{name}\"")))?;
    }
    let (kind, source, target) = (CString::new(*kind)?, CString::new(*source)?, CString::new(*target)?);
    // SAFETY: three live C strings, and no data.
    let status = unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn unmount(target: &str) -> io::Result<()> {
    let target = CString::new(target)?;
    // SAFETY: a live C string.
    if unsafe { libc::umount2(target.as_ptr(), 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const MOUNT_FLAGS: [(&str, libc::c_ulong); 11] = [
    ("ro", libc::MS_RDONLY),
    ("rdonly", libc::MS_RDONLY),
    ("bind", libc::MS_BIND),
    ("rec", libc::MS_REC),
    ("private", libc::MS_PRIVATE),
    ("noexec", libc::MS_NOEXEC),
    ("nosuid", libc::MS_NOSUID),
    ("nodev", libc::MS_NODEV),
    ("remount", libc::MS_REMOUNT),
    ("noatime", libc::MS_NOATIME),
    ("readonly", libc::MS_RDONLY),
];

fn send_signal(pid: &str, signal: &str) -> io::Result<()> {
    let number = |text: &str| text.parse::<i32>().map_err(|_| io::Error::other("it must be unix_signal:PID NUMBER"));
    let (pid, signal) = (number(pid)?, number(signal)?);
    // SAFETY: takes two numbers.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// uWSGI waits for a minute, too.
fn wait_for(path: &str, is_there: impl Fn(&Path) -> bool) -> io::Result<()> {
    for _ in 0..WAIT_LOOKS {
        if is_there(Path::new(path)) {
            return Ok(());
        }
        std::thread::sleep(WAIT_LOOK);
    }
    Err(io::Error::from(io::ErrorKind::TimedOut))
}

const WAIT_LOOK: Duration = Duration::from_millis(100);
const WAIT_LOOKS: u32 = 600;
