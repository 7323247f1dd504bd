//! Runs the stage program in a folder of its own and looks at what it does.
#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A script that is ready and then waits with a child of its own, which does not end by itself.
pub const APPLICATION: &str = "echo R >/proc/self/fd/$DAEMUN_READY; sleep 1000 & wait";

/// A script that is ready and hears no signal.
pub const DEAF: &str = "trap '' TERM INT QUIT; echo R >/proc/self/fd/$DAEMUN_READY; while :; do sleep 1000; done";

/// A running stage; dropping it kills what is left, so that a failed test leaves nothing either.
pub struct Theatre {
    pub folder: tempfile::TempDir,
    pub process: Child,
}

impl Theatre {
    pub fn open(arguments: &[&str]) -> Self {
        let folder = folder();
        let mut command = Command::new(env!("CARGO_BIN_EXE_daemun-master-stage"));
        command.args(arguments);
        Self::run(folder, command)
    }

    /// Runs `command`, which starts the stage, in `folder`; both streams go to the file `log` there.
    pub fn run(folder: tempfile::TempDir, mut command: Command) -> Self {
        let log = File::options().append(true).create(true).open(folder.path().join("log")).unwrap();
        let process = command
            .current_dir(folder.path())
            .env("STAGE_FOLDER", folder.path())
            .env("UNWANTED", "yes")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { folder, process }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until `text` is in the log for the `times`th time.
    pub fn await_lines(&self, text: &str, times: usize) {
        await_that(|| self.log().matches(text).count() >= times, || format!("{times} x {text:?} in:\n{}", self.log()));
    }

    pub fn await_line(&self, text: &str) {
        self.await_lines(text, 1);
    }

    pub fn send(&self, signal: Signal) {
        kill_process(pid(self.process.id()), signal).unwrap();
    }

    /// Process ids of the child called `name` so far, in order of birth.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        let start = format!("[notice] start {name} process ");
        self.log().lines().filter_map(|line| line.strip_prefix(&start)).map(|pid| pid.parse().unwrap()).collect()
    }

    /// Waits for the end and checks that nothing but the log is left.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let log = self.path("log");
        let text = || format!("the end of:\n{}", fs::read_to_string(&log).unwrap_or_default());
        let status = await_some(|| self.process.try_wait().unwrap(), text);
        let left = relatives(self.folder.path());
        let log = self.log();
        assert!(left.is_empty(), "processes {left:?} are left after:\n{log}");
        (status, log)
    }

    /// [`Theatre::end`] of a successful run.
    pub fn end_well(&mut self) -> String {
        let (status, log) = self.end();
        assert!(status.success(), "{status} after:\n{log}");
        log
    }

    /// [`Theatre::end`] of a failed start; returns the error's text.
    pub fn end_badly(&mut self) -> String {
        let (status, log) = self.end();
        assert_eq!(status.code(), Some(1), "after:\n{log}");
        let error = log.lines().find_map(|line| line.strip_prefix("[emerg] "));
        error.unwrap_or_else(|| panic!("no error in:\n{log}")).to_owned()
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        for pid in relatives(self.folder.path()) {
            let _ = kill_process(self::pid(pid), Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// A folder that other users may enter.
pub fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Processes that carry the folder's mark in their environment: the stage and all its descendants. Zombies have none.
pub fn relatives(folder: &Path) -> Vec<u32> {
    let mark = format!("STAGE_FOLDER={}", folder.display());
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    })
    .collect()
}

pub fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

pub fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

pub fn kill(number: u32, signal: Signal) {
    kill_process(pid(number), signal).unwrap();
}

/// Waits until `condition` holds; the limit is for a broken program, not for a slow machine.
pub fn await_that(condition: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    await_some(|| condition().then_some(()), otherwise);
}

fn await_some<T>(mut look: impl FnMut() -> Option<T>, otherwise: impl Fn() -> String) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < limit, "waited in vain for {}", otherwise());
        sleep(Duration::from_millis(5));
    }
}
