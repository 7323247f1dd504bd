//! The edge process: one event loop per thread, each with its share of the connections.

mod accept;
mod generation;
mod parking;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use daemun_net::{Acceptor, ListenAddress, ListenerSet, PeerAddress, Stream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle, spawn_local};

pub use self::generation::{Configuration, Generation, Succession};

pub(crate) use self::generation::Installed;
use self::parking::Parking;
use crate::backend::Backend;
use crate::background::Running;
use crate::connection::{Client, clear_spare_timers, receive_proxy_header, serve_gateway, serve_http, shake_hands};
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
    /// Where later configurations come from.
    pub succession: Option<Box<dyn Succession>>,
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
    flusher: Flusher,
    started: Box<dyn FnOnce()>,
}

/// Serves until told to stop: SIGQUIT drains, SIGTERM and SIGINT stop at once, SIGUSR1 reopens the logs.
///
/// `started` is called once the first thread accepts connections.
///
/// # Errors
/// When a thread or its event loop cannot be made.
pub fn run(plan: EdgePlan, started: Box<dyn FnOnce()>) -> io::Result<()> {
    let EdgePlan { runtime, listeners, pools, threads, succession } = plan;
    let pools = Arc::new(pools);
    let (sender, commands) = watch::channel(Command::Run);
    let (flusher, flushes) = watch::channel(None);
    let (installer, installed) = generation::install(Configuration { runtime, listeners }, threads.max(1))?;
    let plan_of = |index| ThreadPlan {
        index,
        pools: Arc::clone(&pools),
        installed: installed.clone(),
        commands: commands.clone(),
        flushes: flushes.clone(),
    };
    let first = plan_of(0);
    let others = (1..threads.max(1)).map(|index| spawn_thread(plan_of(index))).collect::<io::Result<Vec<_>>>()?;
    drop(installed);
    if let Some(succession) = succession {
        let follow = move || generation::follow(succession, &installer);
        // It waits for ever and ends with the process.
        std::thread::Builder::new().name("succession".to_owned()).spawn(follow)?;
    }
    let result = run_thread(
        first,
        Some(First {
            commander: sender.clone(),
            flusher: Flusher { order: flusher, threads: threads.max(1) },
            started,
        }),
    );
    if result.is_err() {
        sender.send_replace(Command::Stop);
    }
    for other in others {
        // A thread that panicked has said so; the others must still be waited for.
        let _ = other.join();
    }
    result
}

/// Whom a thread tells that it has written its gathered lines.
type FlushOrder = Option<mpsc::UnboundedSender<()>>;

/// Has all threads write the log lines that they have gathered.
struct Flusher {
    order: watch::Sender<FlushOrder>,
    threads: usize,
}

impl Flusher {
    /// Waits until all have done so, unless one of them is busy for too long.
    async fn flush(&self) {
        let (sender, mut done) = mpsc::unbounded_channel();
        self.order.send_replace(Some(sender));
        let all = async {
            for _ in 0..self.threads {
                let _ = done.recv().await;
            }
        };
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, all).await;
        self.order.send_replace(None);
    }
}

/// Writes what this thread has gathered whenever it is told to.
async fn flush_when_told(mut orders: watch::Receiver<FlushOrder>) {
    while orders.changed().await.is_ok() {
        let order = orders.borrow_and_update().clone();
        if let Some(sender) = order {
            log::flush_all();
            let _ = sender.send(()); // Whoever told us may wait no more.
        }
    }
}

/// What one event-loop thread is started with.
struct ThreadPlan {
    index: usize,
    flushes: watch::Receiver<FlushOrder>,
    pools: Arc<Vec<Box<dyn PoolFactory>>>,
    installed: watch::Receiver<Installed>,
    commands: watch::Receiver<Command>,
}

fn spawn_thread(plan: ThreadPlan) -> io::Result<std::thread::JoinHandle<()>> {
    let index = plan.index;
    let log = plan.installed.borrow().runtime.error_log.clone();
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
    clear_spare_timers();
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
    let ThreadPlan { index, pools, mut installed, mut commands, flushes } = plan;
    let backends = pools.iter().map(|pool| pool.on_thread(index)).collect::<io::Result<_>>()?;
    let begin = installed.borrow_and_update().clone();
    let edge = Rc::new(EdgeThread::new(ThreadRuntime::new(&begin, backends), Parking::new()?));
    spawn_local(parking::sweep(Rc::clone(&edge)));
    spawn_local(parking::attend(Rc::clone(&edge)));
    spawn_local(flush_when_told(flushes));
    let mut acceptors = HashMap::new();
    edge.listen(&begin.runtime, begin.take_listeners(index), &mut acceptors)?;
    // Threads share what it works at: one of them is enough.
    let mut background = first.is_some().then(|| Running::start(&begin.runtime));
    drop(begin);
    if let Some(First { commander, flusher, started }) = first {
        spawn_local(obey_signals(commander, flusher, Rc::clone(&edge), Signals::new()?));
        started();
    }
    let mut command = *commands.borrow_and_update();
    let mut is_followed = true;
    while command == Command::Run {
        tokio::select! {
            // The sender lives as long as the first thread; without it there is nobody left to serve for.
            changed = commands.changed() => match changed {
                Ok(()) => command = *commands.borrow_and_update(),
                Err(_) => return Ok(()),
            },
            changed = installed.changed(), if is_followed => {
                is_followed = changed.is_ok();
                let next = installed.borrow_and_update().clone();
                edge.take_over(&next, next.take_listeners(index), &mut acceptors);
                background = background.map(|_| Running::start(&next.runtime));
            }
        }
    }
    installed.borrow().take_listeners(index);
    drop(installed);
    if command == Command::Drain {
        edge.is_closing.set(true);
        edge.closing.notify_waiters();
    }
    for (_, acceptor) in acceptors {
        if command != Command::Drain {
            acceptor.task.abort();
        }
        let _ = acceptor.task.await; // Its socket is closed.
    }
    if command == Command::Drain {
        drain(&edge, commands).await;
    }
    Ok(())
}

/// Waits until the last connection has ended, or for as long as `worker_shutdown_timeout` says, or until told to stop.
async fn drain(edge: &Rc<EdgeThread>, mut commands: watch::Receiver<Command>) {
    edge.drain();
    let draining = Rc::clone(edge);
    spawn_local(async move {
        tokio::time::sleep(DRAIN_FIRST_REQUEST).await;
        draining.close_silent();
    });
    let limit = edge.runtime().shared.main.worker_shutdown_timeout();
    tokio::select! {
        () = edge.wait_until_empty() => {}
        () = sleep_for(limit) => {}
        _ = commands.wait_for(|command| *command == Command::Stop) => {}
    }
    edge.close_older_than(u64::MAX);
    for _ in 0..TURNS_TO_LOG {
        tokio::task::yield_now().await; // Requests whose connection is gone are logged.
    }
}

/// For ever without a time.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

struct Signals {
    drain: Signal,
    stop: Signal,
    interrupt: Signal,
    reopen: Signal,
    /// Heard and passed over, as their default is the process's end: they are the master's business.
    _others: [Signal; 2],
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            drain: signal(SignalKind::quit())?,
            stop: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reopen: signal(SignalKind::user_defined1())?,
            _others: [signal(SignalKind::hangup())?, signal(SignalKind::user_defined2())?],
        })
    }
}

async fn obey_signals(commander: watch::Sender<Command>, flusher: Flusher, edge: Rc<EdgeThread>, mut signals: Signals) {
    loop {
        tokio::select! {
            _ = signals.drain.recv() => {
                commander.send_if_modified(|command| std::mem::replace(command, Command::Drain.max(*command)) != *command);
            }
            _ = signals.stop.recv() => { commander.send_replace(Command::Stop); }
            _ = signals.interrupt.recv() => { commander.send_replace(Command::Stop); }
            _ = signals.reopen.recv() => {
                flusher.flush().await; // What has been gathered belongs to the old files.
                reopen_logs(&edge.runtime().shared);
            }
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
    parking: Parking,
    /// Told when the first connection begins.
    began: Notify,
    /// Told whenever a connection ends.
    ended: Notify,
    /// Told when nobody is to be let in any more.
    closing: Notify,
    /// Whether they have been told.
    is_closing: Cell<bool>,
    /// The generation for which it has been said that idle connections are closed for new ones.
    reuse_said: Cell<u64>,
}

impl EdgeThread {
    fn new(runtime: Rc<ThreadRuntime>, parking: Parking) -> Self {
        Self {
            runtime: RefCell::new(runtime),
            is_draining: Cell::new(false),
            connections: RefCell::default(),
            parking,
            began: Notify::new(),
            ended: Notify::new(),
            closing: Notify::new(),
            is_closing: Cell::new(false),
            reuse_said: Cell::new(0),
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

    /// Connections, the parked ones included.
    fn len(&self) -> usize {
        self.connections.borrow().len() + self.parking.len()
    }

    fn drain(&self) {
        self.is_draining.set(true);
        self.parking.clear();
        let mut idle = Vec::new();
        for (client, task) in self.connections.borrow().values() {
            client.end_after_request();
            // Who is told says goodbye first.
            if client.is_idle.get() && !client.is_watched() {
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
            if self.len() == 0 {
                return;
            }
            ended.await;
        }
    }

    fn start(self: &Rc<Self>, stream: Stream, peer: PeerAddress, listener: ListenerId) {
        let runtime = self.runtime();
        let setting = &runtime.listener(listener).setting;
        let client = Rc::new(Client::new(stream, peer, listener, &runtime));
        let settings = runtime.server(runtime.default_server(listener)).settings;
        if runtime.location(settings).core.tcp_nodelay() {
            client.set_no_delay();
        }
        self.serve(client, setting.proxy_protocol, setting.is_tls);
    }

    /// Gives a connection its task.
    fn serve(self: &Rc<Self>, client: Rc<Client>, has_proxy_header: bool, is_tls: bool) {
        let serial = client.serial;
        let edge = Rc::clone(self);
        if self.len() == 0 {
            self.began.notify_one();
        }
        self.connections.borrow_mut().insert(serial, (Rc::clone(&client), None));
        let place = Place { client: Rc::clone(&client), edge: Rc::clone(self) };
        let task = spawn_local(async move {
            let _place = place;
            if has_proxy_header && !receive_proxy_header(&client, &edge).await {
                return;
            }
            if is_tls && !Box::pin(shake_hands(&client, &edge)).await {
                return;
            }
            match client.protocol {
                Protocol::Http => serve_http(client, edge).await,
                Protocol::Uwsgi | Protocol::Scgi | Protocol::FastCgi => Box::pin(serve_gateway(client, edge)).await,
            }
        });
        if let Some((_, slot)) = self.connections.borrow_mut().get_mut(&serial) {
            *slot = Some(task.abort_handle());
        }
    }
}

/// A socket that is accepted from, and the listener that it is in the configuration in force.
struct Accepting {
    task: JoinHandle<()>,
    listener: Rc<Cell<ListenerId>>,
}

type Acceptors = HashMap<ListenAddress, Accepting>;

/// Configurations that follow one another.
impl EdgeThread {
    /// Accepts on all sockets of a configuration, and on no other.
    fn listen(self: &Rc<Self>, runtime: &Runtime, sockets: ListenerSet, acceptors: &mut Acceptors) -> io::Result<()> {
        let mut result = Ok(());
        let mut former = std::mem::take(acceptors);
        for (number, (listener, socket)) in runtime.listeners.iter().zip(sockets).enumerate() {
            let id = ListenerId(u32::try_from(number).unwrap_or(u32::MAX));
            let address = &listener.setting.address;
            if let Some(known) = former.remove(address) {
                known.listener.set(id);
                acceptors.insert(address.clone(), known);
                continue;
            }
            match Acceptor::new(socket) {
                Ok(acceptor) => {
                    let listener = Rc::new(Cell::new(id));
                    let task = spawn_local(accept::accept_all(acceptor, Rc::clone(&listener), Rc::clone(self)));
                    acceptors.insert(address.clone(), Accepting { task, listener });
                }
                Err(error) => result = Err(error),
            }
        }
        for dropped in former.into_values() {
            dropped.task.abort(); // Closes its socket.
        }
        result
    }

    /// Goes over to another configuration. Requests that have begun keep theirs; connections that wait for one go over with us, and
    /// those whose listener is gone end, at once or after their request.
    fn take_over(self: &Rc<Self>, next: &Installed, sockets: ListenerSet, acceptors: &mut Acceptors) {
        let backends = self.runtime().backends.clone();
        let next_runtime = ThreadRuntime::new(next, backends);
        let last = self.runtime.replace(Rc::clone(&next_runtime));
        thread::begin_generation(next.generation.number);
        if let Err(error) = self.listen(&next.runtime, sockets, acceptors) {
            let log = &next_runtime.shared.error_log;
            log.write(Level::Alert, format_args!("a listener cannot be accepted from ({error})"));
        }
        self.parking.take_over(&next_runtime);
        let mut left_alone = Vec::new();
        for (client, task) in self.connections.borrow().values() {
            if client.is_watched() {
                // HTTP/2's settings are those of its beginning: its client comes again.
                client.end_after_request();
            } else if !client.has_place_in(&next_runtime) {
                client.end_after_request();
                left_alone.extend(task.clone().filter(|_| client.is_idle.get()));
            } else if client.is_idle.get() {
                client.go_over_to(&next_runtime);
            }
        }
        for task in left_alone {
            task.abort();
        }
        if let Some(limit) = last.shared.main.worker_shutdown_timeout() {
            let edge = Rc::clone(self);
            let number = next.generation.number;
            spawn_local(async move {
                tokio::time::sleep(limit).await;
                edge.close_older_than(number);
            });
        }
    }

    /// Closes the connections that have begun something under a configuration before this one.
    fn close_older_than(&self, number: u64) {
        let connections = self.connections.borrow();
        let older = connections.values().filter(|(client, _)| client.generation() < number);
        let tasks: Vec<_> = older.filter_map(|(_, task)| task.clone()).collect();
        drop(connections);
        for task in tasks {
            task.abort();
        }
    }

    /// What is in force for the next request of a connection: the configuration in force, unless the listener by which it came is no
    /// part of that one. Then the connection ends with this request.
    pub(crate) fn runtime_for(&self, client: &Client) -> Rc<ThreadRuntime> {
        let current = self.runtime();
        if client.go_over_to(&current) {
            return current;
        }
        client.end_after_request();
        client.runtime().unwrap_or(current)
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

/// How long the old log files wait for the lines that a busy thread has gathered.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Turns of the event loop at the end: the connection ends, its requests hear of it and end.
const TURNS_TO_LOG: u32 = 4;

/// What a connection gets that has not sent its first request when the edge begins to drain.
const DRAIN_FIRST_REQUEST: Duration = Duration::from_secs(1);
