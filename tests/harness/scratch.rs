//! A test's own folder: configuration, applications, sockets, logs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::{ProcessEntry, every_process};

/// Names the environment variable by which processes are recognized as started from a scratch folder.
pub(crate) const MARK: &str = "DAEMUN_TEST_FOLDER";

/// How much of each log a failing test prints.
const LOG_LINES: usize = 60;
const LOG_COLUMNS: usize = 300;

/// A temporary folder, removed at the end. When the test fails, every log in it is printed first.
///
/// Make it before the servers that use it, so that it is dropped after them.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// Makes an empty folder that every user may enter (servers may give up root).
    #[track_caller]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("daemun-").tempdir().expect("a temporary folder can be made");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("the folder is ours");
        Self { folder }
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The path of `name` as text for a configuration file.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().expect("temporary folders have plain names").to_owned()
    }

    /// Writes a file, making the folders above it; `SCRATCH` in text stands for the folder.
    #[track_caller]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("the file lies in the folder")).expect("a folder can be made");
        let filled = match std::str::from_utf8(content.as_ref()) {
            Ok(text) => text.replace("SCRATCH", &self.folder().to_string_lossy()).into_bytes(),
            Err(_) => content.as_ref().to_vec(),
        };
        fs::write(&path, filled).expect("a file can be written");
        path
    }

    /// Makes a folder and returns its path.
    #[track_caller]
    pub fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        path
    }

    /// Copies a folder as `name`, but for what is called like one of `left_out` at its top.
    #[track_caller]
    pub fn copy_folder(&self, from: &Path, name: &str, left_out: &[&str]) -> PathBuf {
        let target = self.make_folder(name);
        for entry in from.read_dir().unwrap_or_else(|error| panic!("{}: {error}", from.display())).flatten() {
            let own = entry.file_name();
            if left_out.iter().any(|left| own == *left) {
                continue;
            }
            if entry.path().is_dir() {
                self.copy_folder(&entry.path(), &format!("{name}/{}", own.to_string_lossy()), &[]);
            } else {
                fs::copy(entry.path(), target.join(own)).expect("a file can be copied");
            }
        }
        target
    }

    /// Copies an application of `tests/wsgi` into the folder `app`.
    #[track_caller]
    pub fn add_application(&self, name: &str) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("wsgi").join(name);
        let text = fs::read(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let target = self.make_folder("app").join(name);
        fs::write(&target, text).expect("a file can be written");
        target
    }

    /// The file's text, empty while it does not exist.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.path(name)).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Processes started from this folder which are still there, whoever their parent is now.
    pub fn processes_left(&self) -> Vec<ProcessEntry> {
        let folder = self.folder();
        let mark = format!("{MARK}={}", folder.display());
        // A process that writes its own title over its environment is known by its folder or its command line.
        let is_ours = |process: &ProcessEntry| {
            process.has_environment(&mark)
                || process.works_in(folder)
                || process.command.contains(&*folder.to_string_lossy())
        };
        every_process().into_iter().filter(is_ours).collect()
    }

    /// Files in the folder whose name ends in one of `.sock`, `.pid`, `.lock`: what a server has to take away when it ends.
    pub fn traces_left(&self) -> Vec<PathBuf> {
        let is_trace =
            |path: &PathBuf| path.extension().is_some_and(|ext| ext == "sock" || ext == "pid" || ext == "lock");
        files_below(self.folder()).into_iter().filter(is_trace).collect()
    }

    fn print_logs(&self) {
        for path in files_below(self.folder()) {
            if path.extension().is_some_and(|extension| extension == "log" || extension == "out") {
                print_tail(&path);
            }
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.print_logs();
        }
        for process in self.processes_left() {
            if let Some(pid) = Pid::from_raw(process.pid) {
                // It may have ended by itself since it was listed.
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder { files.extend(files_below(&entry.path())) } else { files.push(entry.path()) }
    }
    files
}

fn print_tail(path: &Path) {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    eprintln!("--- {} ({} lines)", path.display(), lines.len());
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        eprintln!("    {}", line.chars().take(LOG_COLUMNS).collect::<String>());
    }
}
