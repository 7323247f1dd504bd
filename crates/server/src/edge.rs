//! The edge process: one event loop per thread, each with its share of the connections.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use daemun_net::{Acceptor, ListenerSet, PeerAddress, Stream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, spawn_local};

use crate::backend::Backend;
use crate::connection::{Client, receive_proxy_header, serve_gateway, serve_http};
use crate::listener::Protocol;
use crate::log::{self, Level};
use crate::runtime::{ListenerId, Runtime, ThreadRuntime};
use crate::thread;

/// What the edge process is started with. Nobody else in the process may hold the listening sockets: once it drains, new
/// connections are to be refused.
pub struct EdgePlan {
    /// The configuration in force.
    pub runtime: Arc<Runtime>,
    /// The bound sockets, in the order of [`Runtime::listeners`].
    pub listeners: ListenerSet,
    /// Application pools, in the order of their [`crate::backend::BackendId`].
    pub pools: Vec<Box<dyn PoolFactory>>,
    /// Event-loop threads, at least one.
    pub threads: usize,
}

/// Makes a pool's end for each event-loop thread.
pub trait PoolFactory: Send + Sync {
    /// Called once on each thread, within its event loop.
    ///
    /// # Errors
    /// When the pool's memory or descriptors cannot be used.
    fn on_thread(&self, index: usize) -> io::Result<Rc<dyn Backend>>;
}

/// What all threads are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Run,
    /// Accept nothing more, close idle connections, end when the last one is done.
    Drain,
    /// End now.
    Stop,
}

/// What the first thread does beside serving.
struct First {
    commander: watch::Sender<Command>,
    started: Box<dyn FnOnce()>,
}

/// Serves until told to stop: SIGQUIT drains, SIGTERM and SIGINT stop at once, SIGUSR1 reopens the logs.
///
/// `started` is called once the first thread accepts connections.
///
/// # Errors
/// When a thread or its event loop cannot be made.
pub fn run(plan: EdgePlan, started: Box<dyn FnOnce()>) -> io::Result<()> {
    limit_open_files(&plan.runtime);
    let EdgePlan { runtime, listeners, pools, threads } = plan;
    let pools = Arc::new(pools);
    let (sender, commands) = watch::channel(Command::Run);
    let mut others = Vec::new();
    for index in 1..threads.max(1) {
        others.push(spawn_thread(ThreadPlan {
            index,
            runtime: Arc::clone(&runtime),
            pools: Arc::clone(&pools),
            listeners: listeners.try_clone()?,
            commands: commands.clone(),
        })?);
    }
    let plan = ThreadPlan { index: 0, runtime, pools, listeners, commands };
    let result = run_thread(plan, Some(First { commander: sender.clone(), started }));
    if result.is_err() {
        sender.send_replace(Command::Stop);
    }
    for other in others {
        // A thread that panicked has said so; the others must still be waited for.
        let _ = other.join();
    }
    result
}

/// What one event-loop thread is started with.
struct ThreadPlan {
    index: usize,
    runtime: Arc<Runtime>,
    pools: Arc<Vec<Box<dyn PoolFactory>>>,
    listeners: ListenerSet,
    commands: watch::Receiver<Command>,
}

/// `worker_rlimit_nofile`. Who is not root can raise it up to the hard limit alone.
fn limit_open_files(runtime: &Runtime) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(wanted) = runtime.main.worker_rlimit_nofile() else { return };
    let maximum = getrlimit(Resource::Nofile).maximum.map_or(wanted, |hard| hard.max(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(maximum) });
    if let Err(error) = raised {
        runtime.error_log.write(Level::Alert, format_args!("setrlimit(RLIMIT_NOFILE, {wanted}) failed ({error})"));
    }
}

fn spawn_thread(plan: ThreadPlan) -> io::Result<JoinHandle<()>> {
    let index = plan.index;
    let log = plan.runtime.error_log.clone();
    std::thread::Builder::new().name(format!("edge {index}")).spawn(move || {
        if let Err(error) = run_thread(plan, None) {
            log.write(Level::Emerg, format_args!("edge thread {index} ended: {error}"));
        }
    })
}

fn run_thread(plan: ThreadPlan, first: Option<First>) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .on_thread_park(end_turn)
        .build_local(LocalOptions::default())?;
    let result = runtime.block_on(serve_thread(plan, first));
    thread::clear_spare_requests();
    drop(runtime);
    log::flush_all();
    result
}

/// The thread has nothing to do: what was put off until now is done.
fn end_turn() {
    log::flush();
    thread::next_turn();
}

async fn serve_thread(plan: ThreadPlan, first: Option<First>) -> io::Result<()> {
    let ThreadPlan { index, runtime, pools, listeners, mut commands } = plan;
    let backends = pools.iter().map(|pool| pool.on_thread(index)).collect::<io::Result<_>>()?;
    let edge = Rc::new(EdgeThread::new(Rc::new(ThreadRuntime { shared: Arc::clone(&runtime), backends })));
    let mut acceptors = Vec::new();
    for (number, listener) in listeners.into_iter().enumerate() {
        let acceptor = Acceptor::new(listener)?;
        let id = ListenerId(u32::try_from(number).unwrap_or(u32::MAX));
        acceptors.push(spawn_local(accept_all(acceptor, id, Rc::clone(&edge))));
    }
    if let Some(First { commander, started }) = first {
        spawn_local(obey_signals(commander, runtime, Signals::new()?));
        started();
    }
    let mut command = *commands.borrow_and_update();
    while command == Command::Run {
        // The sender lives as long as the first thread; without it there is nobody left to serve for.
        if commands.changed().await.is_err() {
            return Ok(());
        }
        command = *commands.borrow_and_update();
    }
    for acceptor in acceptors {
        acceptor.abort(); // Closes its socket.
    }
    if command == Command::Drain {
        edge.drain();
        let draining = Rc::clone(&edge);
        spawn_local(async move {
            tokio::time::sleep(DRAIN_FIRST_REQUEST).await;
            draining.close_silent();
        });
        tokio::select! {
            () = edge.wait_until_empty() => {}
            _ = commands.wait_for(|command| *command == Command::Stop) => {}
        }
    }
    Ok(())
}

struct Signals {
    drain: Signal,
    stop: Signal,
    interrupt: Signal,
    reopen: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            drain: signal(SignalKind::quit())?,
            stop: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }
}

async fn obey_signals(commander: watch::Sender<Command>, runtime: Arc<Runtime>, mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.drain.recv() => {
                commander.send_if_modified(|command| std::mem::replace(command, Command::Drain.max(*command)) != *command);
            }
            _ = signals.stop.recv() => { commander.send_replace(Command::Stop); }
            _ = signals.interrupt.recv() => { commander.send_replace(Command::Stop); }
            _ = signals.reopen.recv() => reopen_logs(&runtime),
        }
    }
}

impl Command {
    /// A stop is not taken back by a drain.
    fn max(self, other: Self) -> Self {
        if other == Self::Stop { Self::Stop } else { self }
    }
}

fn reopen_logs(runtime: &Runtime) {
    log::flush_all(); // What this thread has gathered belongs to the old files.
    for log in &runtime.logs {
        if let Err(error) = log.reopen() {
            let path = log.path().unwrap_or_else(|| std::path::Path::new("stderr"));
            runtime.error_log.write(Level::Emerg, format_args!("open() \"{}\" failed ({error})", path.display()));
        }
    }
}

/// A connection and, once it runs, its task.
type Connection = (Rc<Client>, Option<AbortHandle>);

/// One event-loop thread: the configuration in force and the connections.
pub struct EdgeThread {
    runtime: RefCell<Rc<ThreadRuntime>>,
    is_draining: Cell<bool>,
    connections: RefCell<HashMap<u64, Connection>>,
    /// Told whenever a connection ends.
    ended: Notify,
}

impl EdgeThread {
    fn new(runtime: Rc<ThreadRuntime>) -> Self {
        Self {
            runtime: RefCell::new(runtime),
            is_draining: Cell::new(false),
            connections: RefCell::default(),
            ended: Notify::new(),
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn runtime(&self) -> Rc<ThreadRuntime> {
        Rc::clone(&self.runtime.borrow())
    }

    /// Whether connections end after the request they serve.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    fn drain(&self) {
        self.is_draining.set(true);
        let mut idle = Vec::new();
        for (client, task) in self.connections.borrow().values() {
            client.is_last_request.set(true);
            if client.is_idle.get() {
                idle.extend(task.clone());
            }
        }
        for task in idle {
            task.abort(); // Its place on the list goes with it.
        }
    }

    /// Closes the connections on which nothing has ever come, such as those a browser opens ahead.
    fn close_silent(&self) {
        let is_silent = |client: &Client| client.requests.get() == 0 && !client.has_begun.get();
        let connections = self.connections.borrow();
        let silent: Vec<_> =
            connections.values().filter(|(client, _)| is_silent(client)).filter_map(|(_, task)| task.clone()).collect();
        drop(connections);
        for task in silent {
            task.abort();
        }
    }

    async fn wait_until_empty(&self) {
        loop {
            let ended = self.ended.notified();
            if self.connections.borrow().is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn start(self: &Rc<Self>, stream: Stream, peer: PeerAddress, listener: ListenerId) {
        let runtime = self.runtime();
        let setting = &runtime.listener(listener).setting;
        let client = Rc::new(Client::new(stream, peer, listener, setting));
        let settings = runtime.server(runtime.default_server(listener)).settings;
        if runtime.location(settings).core.tcp_nodelay() {
            client.set_no_delay();
        }
        let serial = client.serial;
        let edge = Rc::clone(self);
        let (protocol, has_proxy_header) = (setting.protocol, setting.proxy_protocol);
        self.connections.borrow_mut().insert(serial, (Rc::clone(&client), None));
        let place = Place { client: Rc::clone(&client), edge: Rc::clone(self) };
        let task = spawn_local(async move {
            let _place = place;
            if has_proxy_header && !receive_proxy_header(&client, &edge).await {
                return;
            }
            match protocol {
                Protocol::Http => serve_http(client, edge).await,
                Protocol::Uwsgi | Protocol::Scgi | Protocol::FastCgi => Box::pin(serve_gateway(client, edge)).await,
            }
        });
        if let Some((_, slot)) = self.connections.borrow_mut().get_mut(&serial) {
            *slot = Some(task.abort_handle());
        }
    }
}

/// A connection's place on the list. However its task ends, the socket is closed and the place is free.
struct Place {
    client: Rc<Client>,
    edge: Rc<EdgeThread>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.client.close();
        self.edge.connections.borrow_mut().remove(&self.client.serial);
        self.edge.ended.notify_waiters();
    }
}

async fn accept_all(acceptor: Acceptor, listener: ListenerId, edge: Rc<EdgeThread>) {
    let main = edge.runtime().shared.main.clone();
    let connections_max = main.worker_connections();
    loop {
        if edge.connections.borrow().len() >= connections_max {
            edge.ended.notified().await;
            continue;
        }
        match acceptor.accept().await {
            Ok((stream, peer)) => edge.start(stream, peer, listener),
            Err(error) if Acceptor::is_exhausted(&error) => {
                let log = &edge.runtime().shared.error_log;
                log.write(Level::Crit, format_args!("accept() on {} failed: {error}", acceptor.address()));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Err(_) => {} // The client went away while it waited.
        }
        if !main.multi_accept() {
            tokio::task::yield_now().await;
        }
    }
}

/// How long accepting rests when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What a connection gets that has not sent its first request when the edge begins to drain.
const DRAIN_FIRST_REQUEST: Duration = Duration::from_secs(1);
