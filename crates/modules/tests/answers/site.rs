//! A server within the test's process, and a client for it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use daemun_modules::{content, filter, log, precontent, rewrite};
use daemun_net::{Listener, ListenerSet};
use daemun_server::AnyModule;
use daemun_server::config::{BuildInput, DirectiveTable, LogAccess, build, walk};
use daemun_server::edge::{self, EdgePlan};
use daemun_server::runtime::Runtime;

static MODULES: &[&dyn AnyModule] = &[
    &rewrite::MODULE,
    &precontent::try_files::MODULE,
    &content::index::MODULE,
    &content::static_file::MODULE,
    &filter::not_modified::MODULE,
    &filter::headers::MODULE,
    &filter::range::REFUSAL,
    &filter::charset::MODULE,
    &filter::range::MODULE,
    &log::access_log::MODULE,
];

/// A running server with a folder of its own. The server lives as long as the test's process.
pub struct Site {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

/// An answer, its head as text.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Site {
    /// Writes `files`, whose names may have folders, and serves `http`, the inside of an `http` block. `ROOT` in it is
    /// the folder. The server must say `listen 8080`; the socket is another one.
    pub fn start(files: &[(&str, &str)], http: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(folder.path().join("logs")).expect("made");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("within the folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let runtime = read(folder.path(), http).unwrap_or_else(|messages| panic!("{messages:?}"));
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound");
        let mut listeners = ListenerSet::new();
        listeners.push(Listener::adopt(socket.into()).expect("a listener"));
        let plan = EdgePlan { runtime: Arc::new(runtime), listeners, pools: Vec::new(), threads: 1, succession: None };
        std::thread::spawn(move || edge::run(plan, Box::new(|| {})).expect("runs"));
        Self { folder, address }
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Answers a GET.
    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    /// Answers a GET with further fields, each ended by CRLF.
    pub fn get_with(&self, target: &str, fields: &str) -> Answer {
        self.ask("GET", target, fields)
    }

    /// Answers a request on a connection of its own.
    pub fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n{fields}\r\n");
        Answer::read(&self.send(request.as_bytes()))
    }

    /// Sends octets and gives everything that comes back.
    pub fn send(&self, octets: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        stream.write_all(octets).expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("received");
        answer
    }

    /// The lines of a log, once there are `count`.
    pub fn log_lines(&self, name: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            if text.lines().count() >= count {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(Instant::now() < deadline, "{name} has only: {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The headlines of what is wrong with the inside of an `http` block.
pub fn errors(http: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("logs")).expect("made");
    read(folder.path(), http).err().unwrap_or_default()
}

fn read(folder: &Path, http: &str) -> Result<Runtime, Vec<String>> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| daemun_server::variable::install(MODULES));
    let http = http.replace("ROOT", &folder.display().to_string());
    let parsed = daemun_conf::parse_text("test", &format!("events {{ }} http {{ {http} }}"));
    assert!(!parsed.has_errors(), "{}", parsed.render());
    let typed = walk(&parsed.tree, &DirectiveTable::new(MODULES), MODULES);
    let input = BuildInput {
        typed,
        modules: MODULES,
        prefix: folder.to_path_buf(),
        configuration_folder: folder.to_path_buf(),
        body_folder: std::env::temp_dir(),
        error_log: Some(folder.join("logs/error.log")),
        backends: HashMap::new(),
        pool_listeners: Vec::new(),
        log_access: LogAccess::Open,
        known_logs: Vec::new(),
        files: &daemun_conf::FileSystem,
        zones: daemun_server::zone::Zones::default(),
    };
    let messages = |diagnostics: Vec<daemun_conf::Diagnostic>| {
        let errors = diagnostics.into_iter().filter(daemun_conf::Diagnostic::is_error);
        errors.map(|diagnostic| diagnostic.message).collect()
    };
    build(input).map(|(runtime, _)| runtime).map_err(messages)
}

impl Answer {
    /// Takes an answer apart; the connection's end is the body's.
    pub fn read(octets: &[u8]) -> Self {
        let text = String::from_utf8_lossy(octets).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// All values of a field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}
