//! Where the programs under test and their peers are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// The daemun binary: in `DAEMUN_BIN_DIR` if that is set, else in the profile folder that this test binary was built into.
#[track_caller]
pub fn daemun() -> PathBuf {
    let folder = match env::var_os("DAEMUN_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => profile_folder(),
    };
    let binary = folder.join("daemun");
    assert!(binary.is_file(), "{} does not exist: build it first, as `make test` does", binary.display());
    binary
}

/// `target/<profile>`: a test binary lies in its folder `deps`.
fn profile_folder() -> PathBuf {
    let test = env::current_exe().expect("the test knows its own path");
    let deps = test.parent().expect("a binary lies in a folder");
    if deps.ends_with("deps") {
        deps.parent().expect("deps lies in the profile folder").to_owned()
    } else {
        deps.to_owned()
    }
}

/// Debian's nginx.
#[track_caller]
pub fn nginx() -> PathBuf {
    on_path(&["/usr/sbin/nginx", "/usr/local/sbin/nginx"]).expect("nginx is not installed: run scripts/install-peers")
}

/// Debian's Apache.
#[track_caller]
pub fn apache() -> PathBuf {
    on_path(&["/usr/sbin/apache2"]).expect("apache2 is not installed: run scripts/install-peers")
}

/// Debian's lighttpd.
#[track_caller]
pub fn lighttpd() -> PathBuf {
    on_path(&["/usr/sbin/lighttpd"]).expect("lighttpd is not installed: run scripts/install-peers")
}

/// One of the programs of litmus, Debian's tests of WebDAV.
#[track_caller]
pub fn litmus(suite: &str) -> PathBuf {
    on_path(&[&format!("/usr/libexec/litmus/{suite}"), &format!("/usr/lib/litmus/{suite}")])
        .expect("litmus is not installed: run scripts/install-peers")
}

/// Debian's PHP-FPM, of whatever version.
#[track_caller]
pub fn php_fpm() -> PathBuf {
    let folder = Path::new("/usr/sbin").read_dir().into_iter().flatten().flatten();
    let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"));
    folder.map(|entry| entry.path()).find(is_it).expect("php-fpm is not installed: run scripts/install-peers")
}

/// Debian's fcgiwrap.
#[track_caller]
pub fn fcgiwrap() -> PathBuf {
    on_path(&["/usr/sbin/fcgiwrap"]).expect("fcgiwrap is not installed: run scripts/install-peers")
}

/// Debian's memcached.
#[track_caller]
pub fn memcached() -> PathBuf {
    on_path(&["/usr/bin/memcached"]).expect("memcached is not installed: run scripts/install-peers")
}

/// A program of the peers' virtualenv, which scripts/install-peers makes.
#[track_caller]
pub fn peer(program: &str) -> PathBuf {
    let binary = peers().join("bin").join(program);
    assert!(binary.is_file(), "{} does not exist: run scripts/install-peers", binary.display());
    binary
}

/// The folder of Gunicorn's malformed requests, which scripts/install-peers takes out of its source package.
#[track_caller]
pub fn gunicorn_requests() -> PathBuf {
    let folder = peers().with_file_name("gunicorn-requests");
    assert!(folder.is_dir(), "{} does not exist: run scripts/install-peers", folder.display());
    folder
}

/// The virtualenv of the applications that are visited, which scripts/install-peers makes.
#[track_caller]
pub fn applications_virtualenv() -> PathBuf {
    let folder = peers().with_file_name("applications");
    assert!(folder.join("bin/python").exists(), "{} does not exist: run scripts/install-peers", folder.display());
    folder
}

fn peers() -> PathBuf {
    env::var_os("DAEMUN_PEERS").map_or_else(|| repository().join("target/peers/venv"), PathBuf::from)
}

/// MariaDB's server.
#[track_caller]
pub fn mariadbd() -> PathBuf {
    on_path(&["/usr/sbin/mariadbd", "/usr/sbin/mysqld"])
        .expect("mariadb-server is not installed: run scripts/install-peers")
}

/// MariaDB's client.
#[track_caller]
pub fn mariadb() -> PathBuf {
    on_path(&["/usr/bin/mariadb", "/usr/bin/mysql"])
        .expect("mariadb-client is not installed: run scripts/install-peers")
}

/// Makes MariaDB's first data folder.
#[track_caller]
pub fn mariadb_install_db() -> PathBuf {
    on_path(&["/usr/bin/mariadb-install-db"]).expect("mariadb-server is not installed: run scripts/install-peers")
}

/// The example site's virtualenv, which scripts/example-venv makes.
#[track_caller]
pub fn example_virtualenv() -> PathBuf {
    let folder = repository().join("target/example/venv");
    assert!(folder.join("bin/python").exists(), "{} does not exist: run scripts/example-venv", folder.display());
    folder
}

fn on_path(candidates: &[&str]) -> Option<PathBuf> {
    candidates.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// The python3 that a reader of the manual would call; a real interpreter, never a shim that needs a shell.
#[track_caller]
pub fn python() -> PathBuf {
    let names = ["python3", "/usr/bin/python3"];
    names.iter().find_map(|name| executable_of(Path::new(name))).expect("python3 is installed")
}

/// The CPython of this `major.minor`, if one is on the machine: pyenv's, then the system's.
pub fn cpython(version: &str) -> Option<PathBuf> {
    let pyenv =
        env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".pyenv")));
    let mut candidates = Vec::new();
    if let Some(root) = pyenv
        && let Ok(versions) = root.join("versions").read_dir()
    {
        let named =
            versions.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{version}.")));
        candidates.extend(named.map(|entry| entry.path().join("bin/python3")));
    }
    candidates.push(PathBuf::from(format!("/usr/local/bin/python{version}")));
    candidates.push(PathBuf::from(format!("/usr/bin/python{version}")));
    candidates.into_iter().find(|path| executable_of(path).is_some())
}

fn executable_of(python: &Path) -> Option<PathBuf> {
    let script = "import sys; print(sys.executable)";
    let output = Command::new(python).args(["-c", script]).stderr(Stdio::null()).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (output.status.success() && path.is_file()).then_some(path)
}

/// Makes a virtualenv of `python` at `folder`, without pip, which takes its time.
#[track_caller]
pub fn make_virtualenv(python: &Path, folder: &Path) {
    let output =
        Command::new(python).args(["-m", "venv", "--without-pip"]).arg(folder).output().expect("python starts");
    assert!(output.status.success(), "venv: {}", String::from_utf8_lossy(&output.stderr));
}
