//! A pool on a real interpreter with the edge's side of the hop in the test's hands.

#![allow(dead_code, reason = "every test program uses its own part")]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use daemun_channel::control::{self, Message};
use daemun_channel::handover::{Application, Mount, Workers};
use daemun_channel::{Body, BodyGrant, Completion, EdgeThread, Handover, Layout, Outcome, Pool, Ticket};
use daemun_gateway::record::{RecordFlags, RecordFront, RecordWriter};
use daemun_gateway::uwsgi;
use tempfile::TempDir;

/// How a pool is started.
pub struct Plan {
    pub python: PathBuf,
    pub application: Application,
    pub workers: Workers,
    pub layout: Layout,
    /// The application's module, `site_app.py`.
    pub source: String,
}

impl Plan {
    /// One worker with one thread, on the interpreter of this test run.
    pub fn new(source: &str) -> Self {
        let mount = Mount { module: Some("site_app".into()), ..Mount::default() };
        let application = Application {
            name: "site".into(),
            mounts: vec![mount],
            need_app: true,
            log_deaths: true,
            ..Application::default()
        };
        Self {
            python: std::env::var_os("DAEMUN_TEST_PYTHON").map_or_else(newest, PathBuf::from),
            application,
            workers: Workers::default(),
            layout: Layout { sides: 1, processes: 1, threads: 1, edge_threads: 1, slots_per_thread: 64, chunks: 8 },
            source: source.to_owned(),
        }
    }

    pub fn processes(mut self, processes: u16) -> Self {
        self.layout.processes = processes;
        self
    }

    pub fn threads(mut self, threads: u16) -> Self {
        self.layout.threads = threads;
        self
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(self) -> Site {
        let mut site = self.launch();
        site.wait_for("Ready", |site| site.is_ready);
        let workers = usize::from(site.pool.layout().processes);
        site.wait_for("workers", |site| site.born.len() >= workers);
        site
    }

    /// Starts it and waits until it ends by itself; its status and its log.
    pub fn fail(self) -> (ExitStatus, String) {
        let mut site = self.launch();
        let status = site.wait_for_end();
        (status, site.log())
    }

    fn launch(mut self) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("site_app.py"), &self.source).expect("the application is written");
        self.application.chdir.get_or_insert_with(|| folder.path().to_owned());
        let (edge_end, worker_end) = daemun_channel::create(self.layout).expect("a hop");
        let handover = Handover::new(&worker_end, self.application, self.workers);
        let memfd = handover.write_to_memfd().expect("the handover is written");
        let log = folder.path().join("log");
        let child = spawn(&self.python, &handover, &memfd, &log);
        drop(worker_end);
        let pool = Pool::open(edge_end).expect("the pool opens");
        let edge = pool.thread(0).expect("the edge thread");
        Site {
            folder: Some(folder),
            child,
            pool,
            edge,
            log,
            is_ready: false,
            failed: None,
            born: Vec::new(),
            died: Vec::new(),
            under_way: Vec::new(),
        }
    }
}

fn spawn(python: &Path, handover: &Handover, memfd: &OwnedFd, log: &Path) -> Child {
    let log = File::create(log).expect("a log");
    let inherited: Vec<RawFd> = handover.inherited().into_iter().chain([memfd.as_raw_fd()]).collect();
    let mut command = Command::new(python);
    command.arg("-c").arg(bootstrap()).env(Handover::VARIABLE, memfd.as_raw_fd().to_string());
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("dup")).stderr(log);
    // SAFETY: prctl and fcntl may be called between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            for number in &inherited {
                libc::fcntl(*number, libc::F_SETFD, 0);
            }
            Ok(())
        });
    }
    command.spawn().expect("python starts")
}

fn bootstrap() -> String {
    let module = module_path();
    format!(
        "import importlib.machinery as m, importlib.util as u\n\
         l = m.ExtensionFileLoader('_daemun', {:?})\n\
         s = u.spec_from_file_location('_daemun', {:?}, loader=l)\n\
         d = u.module_from_spec(s)\n\
         l.exec_module(d)\n\
         d.main()",
        module, module
    )
}

/// The module, built first: Cargo does not build a `cdylib` for tests, since they cannot link it.
pub fn module_path() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let program = std::env::current_exe().expect("this program's path");
            let folder = program.parent().and_then(Path::parent).expect("the folder of the profile");
            let target = folder.parent().expect("the target folder");
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--target-dir"]).arg(target);
            if !cfg!(debug_assertions) {
                cargo.arg("--release");
            }
            assert!(cargo.status().expect("cargo runs").success());
            folder.join("libdaemun_wsgi.so")
        })
        .clone()
}

/// Every CPython from 3.9 to 3.13 that is here, oldest first.
pub fn pythons() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folder = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = folder
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let minor: u32 = name.strip_prefix("3.")?.split('.').next()?.parse().ok()?;
            (9..=13).contains(&minor).then(|| (minor, entry.path().join("bin/python3")))
        })
        .collect();
    found.sort();
    let mut paths: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
    if paths.is_empty() {
        paths.push("python3".into());
    }
    paths
}

fn newest() -> PathBuf {
    pythons().pop().expect("a Python from 3.9 on")
}

/// A request as a test writes it.
#[derive(Clone)]
pub struct Request {
    pub variables: Vec<(String, Vec<u8>)>,
    pub body: RequestBody,
    pub id: u64,
    pub flags: RecordFlags,
}

#[derive(Clone)]
pub enum RequestBody {
    None,
    Inline(Vec<u8>),
    /// As a file, when asked for.
    File(Vec<u8>),
    /// In pieces by a pipe; whether the length is announced, and how many bytes more than there are.
    Pipe {
        pieces: Vec<Vec<u8>>,
        announced: bool,
        missing: u64,
    },
}

pub fn get(path: &str) -> Request {
    Request::new("GET", path)
}

pub fn post(path: &str, body: RequestBody) -> Request {
    let mut request = Request::new("POST", path);
    request.body = body;
    request
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = [
            ("REQUEST_METHOD", method),
            ("REQUEST_URI", target),
            ("PATH_INFO", path),
            ("QUERY_STRING", query),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_NAME", "site.example"),
            ("SERVER_PORT", "80"),
            ("REMOTE_ADDR", "192.0.2.1"),
            ("HTTP_HOST", "site.example"),
        ];
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let flags = RecordFlags::empty().with_if(method == "HEAD", RecordFlags::HEAD);
        Self { variables, body: RequestBody::None, id: 17, flags }
    }

    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn length(&self) -> Option<u64> {
        match &self.body {
            RequestBody::None => Some(0),
            RequestBody::Inline(bytes) | RequestBody::File(bytes) => Some(bytes.len() as u64),
            RequestBody::Pipe { pieces, announced, missing } => {
                announced.then(|| pieces.iter().map(|piece| piece.len() as u64).sum::<u64>() + missing)
            }
        }
    }

    pub fn record(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let front =
            RecordFront { request_id: self.id, content_length: self.length(), deadline_ms: 0, flags: self.flags };
        let mut writer = RecordWriter::new(&mut out, uwsgi::SIZE_MAX, &front);
        for (name, value) in &self.variables {
            writer.named(name.as_bytes(), value).expect("fits");
        }
        if let Some(length) = self.length().filter(|length| *length > 0) {
            writer.named(b"CONTENT_LENGTH", length.to_string().as_bytes()).expect("fits");
        }
        writer.finish();
        out
    }
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The body as it became visible to the edge.
    pub arrivals: Vec<usize>,
    /// Bytes that came as a part of a file.
    pub from_file: usize,
    pub end: Option<End>,
    head: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    Failed,
    Lost,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn read_head(&mut self) {
        if self.head.is_empty() {
            return;
        }
        let u16_at = |at: usize| usize::from(u16::from_le_bytes([self.head[at], self.head[at + 1]]));
        let text = |from: usize, length: usize| String::from_utf8_lossy(&self.head[from..from + length]).into_owned();
        let (status, reason_len, count) = (u16_at(0) as u16, u16_at(2), u16_at(4));
        let mut at = 8 + reason_len;
        let mut headers = Vec::new();
        for _ in 0..count {
            let (name_len, value_len) = (u16_at(at), u16_at(at + 4) + (u16_at(at + 6) << 16));
            headers.push((text(at + 8, name_len), text(at + 8 + name_len, value_len)));
            at += 8 + name_len + value_len;
        }
        (self.status, self.reason, self.headers) = (status, text(8, reason_len), headers);
    }
}

/// A pool that runs.
pub struct Site {
    folder: Option<TempDir>,
    pub child: Child,
    pub pool: Arc<Pool>,
    pub edge: EdgeThread,
    log: PathBuf,
    is_ready: bool,
    pub failed: Option<String>,
    pub born: Vec<(u16, u32)>,
    pub died: Vec<(u16, u32, i32, bool)>,
    under_way: Vec<UnderWay>,
}

struct UnderWay {
    ticket: Ticket,
    request: Request,
    answer: Answer,
}

impl Site {
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a request and waits for its end.
    pub fn ask(&mut self, request: Request) -> Answer {
        let ticket = self.submit(request);
        self.wait_for("answer", |site| site.answer(ticket).is_some_and(|answer| answer.end.is_some()));
        self.take(ticket)
    }

    pub fn submit(&mut self, request: Request) -> Ticket {
        let record = request.record();
        let body = match &request.body {
            RequestBody::None => Body::None,
            RequestBody::Inline(bytes) => Body::Inline(bytes),
            RequestBody::File(_) | RequestBody::Pipe { .. } => Body::Deferred { length: request.length() },
        };
        let ticket = self.edge.submit(&record, body).expect("submitted");
        self.edge.kick();
        self.under_way.push(UnderWay { ticket, request, answer: Answer::default() });
        ticket
    }

    pub fn answer(&self, ticket: Ticket) -> Option<&Answer> {
        self.under_way.iter().find(|way| way.ticket == ticket).map(|way| &way.answer)
    }

    pub fn take(&mut self, ticket: Ticket) -> Answer {
        let position = self.under_way.iter().position(|way| way.ticket == ticket).expect("a known ticket");
        let mut answer = self.under_way.swap_remove(position).answer;
        answer.read_head();
        self.edge.release(ticket);
        answer
    }

    /// Everything of the edge is gone, as when it was killed together with its master.
    pub fn lose_edge(mut self) -> (Child, Option<TempDir>) {
        let nothing = Command::new("true").spawn().expect("true starts");
        (std::mem::replace(&mut self.child, nothing), self.folder.take())
    }

    /// Where the pool's standard error goes.
    pub fn child_log(&self) -> &Path {
        &self.log
    }

    /// Stops expecting anything of a request that was aborted.
    pub fn forget(&mut self, ticket: Ticket) {
        self.under_way.retain(|way| way.ticket != ticket);
    }

    /// Turns the loop until `is_so`.
    pub fn wait_for(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so(self) {
            if Instant::now() > end || self.failed.is_some() {
                panic!("no {what}; {:?}; the log:\n{}", self.failed, self.log());
            }
            self.turn();
        }
    }

    pub fn wait_for_end(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            self.turn();
            if let Some(status) = self.child.try_wait().expect("waited") {
                return status;
            }
            assert!(Instant::now() < end, "does not end; the log:\n{}", self.log());
        }
    }

    pub fn turn(&mut self) {
        self.edge.kick();
        let mut seen = Vec::new();
        let count = self.edge.poll(64, |_, completion| seen.push(completion));
        for completion in seen {
            self.complete(completion);
        }
        while let Ok(Some((message, _))) = control::receive(self.pool.control(0), false) {
            self.hear(message);
        }
        if count == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Ready { .. } => self.is_ready = true,
            Message::Failed { reason } => self.failed = Some(reason),
            Message::Born { worker, pid, .. } => self.born.push((worker, pid)),
            Message::Died { worker, pid, wait_status, harakiri } => {
                self.died.push((worker, pid, wait_status, harakiri));
                self.pool.worker_died(self.pool.layout().seats_of(worker), pid);
            }
            other => panic!("{other:?} is not for the edge"),
        }
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::NeedBody { ticket } => self.grant(ticket),
            Completion::Head { ticket } | Completion::Data { ticket } => self.read(ticket),
            Completion::File { ticket, file, offset, length } => {
                self.read(ticket);
                let mut bytes = vec![0; length as usize];
                std::os::unix::fs::FileExt::read_exact_at(&File::from(file), &mut bytes, offset)
                    .expect("the file's part");
                let answer = self.answer_mut(ticket);
                answer.body.extend(bytes);
                answer.from_file += length as usize;
            }
            Completion::End { ticket, outcome } => {
                self.read(ticket);
                self.answer_mut(ticket).end = Some(match outcome {
                    Outcome::Complete => End::Complete,
                    Outcome::Failed => End::Failed,
                });
            }
            Completion::Lost { ticket, .. } => self.answer_mut(ticket).end = Some(End::Lost),
            Completion::Cleaned { seats, pid } => {
                let worker = seats.start / self.pool.layout().threads;
                // A zygote that is ending hears nothing more.
                let pid = pid.expect("the zygote lives");
                let _ = control::send(self.pool.control(0), &Message::Cleaned { worker, pid }, None);
            }
            Completion::Misbehaved { seat, violation } => panic!("seat {seat}: {violation}"),
        }
    }

    fn answer_mut(&mut self, ticket: Ticket) -> &mut Answer {
        &mut self.under_way.iter_mut().find(|way| way.ticket == ticket).expect("a known ticket").answer
    }

    fn read(&mut self, ticket: Ticket) {
        let way = self.under_way.iter_mut().find(|way| way.ticket == ticket).expect("a known ticket");
        if way.answer.head.is_empty() {
            self.edge.copy_head(ticket, &mut way.answer.head).expect("a head");
        }
        let count = self.edge.copy_body(ticket, &mut way.answer.body, usize::MAX).expect("a body");
        if count > 0 {
            way.answer.arrivals.push(count);
        }
    }

    fn grant(&mut self, ticket: Ticket) {
        let way = self.under_way.iter().find(|way| way.ticket == ticket).expect("a known ticket");
        match way.request.body.clone() {
            RequestBody::File(bytes) => {
                let file = tempfile::tempfile().expect("a file");
                std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("written");
                let grant = BodyGrant::File { file: file.as_fd(), length: bytes.len() as u64 };
                self.edge.grant_body(ticket, grant).expect("granted");
            }
            RequestBody::Pipe { pieces, missing, .. } => {
                let (read, write) = std::io::pipe().expect("a pipe");
                let length = way.request.length();
                self.edge.grant_body(ticket, BodyGrant::Pipe { pipe: read.as_fd(), length }).expect("granted");
                if missing == 0 {
                    self.edge.end_body(ticket);
                }
                std::thread::spawn(move || {
                    let mut write = write;
                    for piece in pieces {
                        std::thread::sleep(Duration::from_millis(5));
                        if std::io::Write::write_all(&mut write, &piece).is_err() {
                            return;
                        }
                    }
                });
            }
            _ => self.edge.grant_body(ticket, BodyGrant::Refused).expect("refused"),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Workers die with their zygote.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
