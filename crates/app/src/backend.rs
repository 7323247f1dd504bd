//! A pool's end on one event-loop thread: requests go into shared memory, answers come out of it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use daemun_channel::{
    Body as HopBody, BodyGrant, Completion, EdgeThread, Outcome as HopOutcome, SubmitError, Ticket, control,
};
use daemun_gateway::answer;
use daemun_gateway::record::{RecordFlags, RecordFront, RecordWriter};
use daemun_http::{HeaderId, Headers, StatusCode};
use daemun_server::backend::{Backend, BodyTransfer, Environment};
use daemun_server::body::RequestBodyError;
use daemun_server::log::Level;
use daemun_server::response::{Body, BodyError, BodyStream, FilePart, OpenFile, Piece, ReadAhead};
use daemun_server::{LocalFuture, Outcome, Request, Response};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::body_pipe::{BodyPipe, BodyPipeError};
use crate::limits::{BODY_READ_BYTES, COMPLETIONS_PER_TURN, INLINE_BODY_BYTES, RECORD_BYTES_MAX, WAITING_MAX};
use crate::workers::Workers;

/// A pool's end on one event-loop thread.
pub struct PoolThread {
    hop: RefCell<EdgeThread>,
    table: RefCell<Vec<Entry>>,
    record: RefCell<Vec<u8>>,
    workers: Arc<Workers>,
    /// Wakes the pump, which wakes workers once per turn of the loop.
    pump: RefCell<Option<Waker>>,
    needs_kick: Cell<bool>,
    slot_freed: Notify,
    waiting: Cell<usize>,
    in_flight: Cell<usize>,
    /// How long a request may wait and run until its answer begins.
    deadline: Option<Duration>,
}

/// What has been heard of one request that is with the workers.
#[derive(Default)]
struct Entry {
    has_head: bool,
    ended: Option<Ended>,
    file: Option<FilePart>,
    request_body: Option<(Rc<OpenFile>, u64)>,
    /// The request's body goes to the worker as it comes.
    streams_body: bool,
    /// The worker has asked for such a body.
    body_wanted: bool,
    waker: Option<Waker>,
}

/// How a request left its worker.
#[derive(Clone, Copy)]
enum Ended {
    Complete,
    Failed,
    /// The worker on this seat died.
    Lost(u16),
}

impl PoolThread {
    /// Takes over the thread's handle on the hop.
    #[must_use]
    pub fn new(hop: EdgeThread, workers: Arc<Workers>, deadline: Option<Duration>) -> Rc<Self> {
        let slots = hop.pool().layout().slots_per_thread as usize;
        let mut table = Vec::new();
        table.resize_with(slots, Entry::default);
        Rc::new(Self {
            hop: RefCell::new(hop),
            table: RefCell::new(table),
            record: RefCell::default(),
            workers,
            pump: RefCell::new(None),
            needs_kick: Cell::new(false),
            slot_freed: Notify::new(),
            waiting: Cell::new(0),
            in_flight: Cell::new(0),
            deadline,
        })
    }

    /// Becomes readable when a worker reports something.
    ///
    /// # Errors
    /// When the descriptor cannot be copied.
    pub fn wake_descriptor(&self) -> std::io::Result<std::os::fd::OwnedFd> {
        self.hop.borrow().wake_descriptor().try_clone_to_owned()
    }

    /// One turn: hands over what workers report and wakes those that are needed. False where it must run again at
    /// once; true where the hop's next report will make the wake descriptor readable.
    pub fn turn(&self, context: &Context<'_>) -> bool {
        let mut pump = self.pump.borrow_mut();
        if !pump.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *pump = Some(context.waker().clone());
        }
        drop(pump);
        let mut hop = self.hop.borrow_mut();
        let completed = hop.poll(COMPLETIONS_PER_TURN, |hop, completion| self.complete(hop, completion));
        if self.needs_kick.replace(false) {
            hop.kick();
        }
        // Slots that nobody waited for come back silently: whoever waits for one is told here.
        for _ in 0..self.waiting.get().min(hop.free_slots()) {
            self.slot_freed.notify_one();
        }
        if completed == COMPLETIONS_PER_TURN {
            context.waker().wake_by_ref(); // There may be more, once others have had their turn.
            return true;
        }
        hop.arm()
    }

    fn complete(&self, hop: &mut EdgeThread, completion: Completion) {
        match completion {
            Completion::NeedBody { ticket } => self.grant_body(hop, ticket),
            Completion::Head { ticket } => self.tell(ticket, |entry| entry.has_head = true),
            Completion::Data { ticket } => self.tell(ticket, |_| {}),
            Completion::File { ticket, file, offset, length } => {
                let file = Rc::new(OpenFile { descriptor: file });
                self.tell(ticket, |entry| entry.file = Some(FilePart { file, offset, length }));
            }
            Completion::End { ticket, outcome: HopOutcome::Complete } => {
                self.tell(ticket, |entry| entry.ended = Some(Ended::Complete))
            }
            Completion::End { ticket, outcome: HopOutcome::Failed } => {
                self.tell(ticket, |entry| entry.ended = Some(Ended::Failed))
            }
            Completion::Lost { ticket, seat } => self.tell(ticket, |entry| entry.ended = Some(Ended::Lost(seat))),
            // Without a pid, it was the zygote that died: its successor has nothing to wait for.
            Completion::Cleaned { seats, pid } => {
                if let Some(pid) = pid {
                    let worker = self.workers.worker_of(seats.start);
                    order(hop, &control::Message::Cleaned { worker, pid });
                }
            }
            Completion::Misbehaved { seat, .. } => {
                let worker = self.workers.worker_of(seat);
                if let Some(pid) = self.workers.pid_of(worker) {
                    order(hop, &control::Message::Kill { worker, pid });
                }
            }
        }
    }

    fn grant_body(&self, hop: &mut EdgeThread, ticket: Ticket) {
        if self.table.borrow()[ticket.index()].streams_body {
            return self.tell(ticket, |entry| entry.body_wanted = true);
        }
        let body = self.table.borrow()[ticket.index()].request_body.clone();
        let granted = match &body {
            Some((file, length)) => {
                hop.grant_body(ticket, BodyGrant::File { file: file.descriptor.as_fd(), length: *length }).is_ok()
            }
            None => false,
        };
        if !granted {
            self.tell(ticket, |entry| entry.ended = Some(Ended::Failed));
        }
    }

    fn tell(&self, ticket: Ticket, change: impl FnOnce(&mut Entry)) {
        let mut table = self.table.borrow_mut();
        let entry = &mut table[ticket.index()];
        change(entry);
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
    }

    /// Puts a request on the queue; waits for a slot where all are in use.
    async fn submit(
        self: &Rc<Self>,
        request: &Request,
        environment: &dyn Environment,
        passes_body: bool,
    ) -> Result<Flight, CallError> {
        while self.hop.borrow().free_slots() == 0 {
            if self.waiting.get() >= WAITING_MAX {
                return Err(CallError::QueueFull(WAITING_MAX));
            }
            self.waiting.set(self.waiting.get() + 1);
            let _place = Place(&self.waiting);
            self.slot_freed.notified().await;
        }
        let mut record = self.record.borrow_mut();
        record.clear();
        write_record(request, environment, &mut record)?;
        let length = request.body.length();
        let in_file = request.body.in_file();
        let body = match (request.body.in_memory(), in_file) {
            _ if !passes_body => HopBody::None,
            (Some([]), _) => HopBody::None,
            (Some(octets), _) => HopBody::Inline(octets),
            (None, _) => HopBody::Deferred { length },
        };
        let mut hop = self.hop.borrow_mut();
        let ticket = hop.submit(&record, body)?;
        self.table.borrow_mut()[ticket.index()] = Entry {
            request_body: in_file.map(|file| (Rc::clone(file), length.unwrap_or(0))),
            streams_body: request.body.is_unread(),
            ..Entry::default()
        };
        self.in_flight.set(self.in_flight.get() + 1);
        if !self.needs_kick.replace(true)
            && let Some(pump) = &*self.pump.borrow()
        {
            pump.wake_by_ref();
        }
        Ok(Flight { thread: Rc::clone(self), ticket })
    }

    async fn run(self: Rc<Self>, request: &mut Request, environment: &dyn Environment, passes_body: bool) -> Outcome {
        if let Err(outcome) = request.read_body(Some(INLINE_BODY_BYTES)).await {
            return outcome;
        }
        let end = self.deadline.map(|limit| Instant::now() + limit);
        let flight = match within(end, self.submit(request, environment, passes_body)).await {
            Some(Ok(flight)) => flight,
            Some(Err(error)) => return self.refuse(request, &error),
            None => return self.give_up(request, None),
        };
        let Some(ended) = within(end, poll_fn(|context| flight.poll_head(context))).await else {
            return self.give_up(request, Some(&flight));
        };
        let rest = Rest { request_body: None, read_ahead: environment.read_ahead() };
        let answer = answer_of(flight, ended, rest, take_headers(request));
        outcome_of(request, answer)
    }

    /// As [`PoolThread::run`], without waiting for the body: the worker gets it as it comes, if it asks.
    async fn run_streaming(self: Rc<Self>, request: &mut Request, environment: &dyn Environment) -> Outcome {
        // Where all slots are in use, there may be a long time to go away in.
        let end = self.deadline.map(|limit| Instant::now() + limit);
        let submitted = within(end, request.unless_cut_short(self.submit(request, environment, true))).await;
        let flight = match submitted {
            Some(Some(Ok(flight))) => flight,
            Some(Some(Err(error))) => return self.refuse(request, &error),
            Some(None) => return request.refuse_body(&RequestBodyError::Closed),
            None => return self.give_up(request, None),
        };
        let Some(passage) = request.share_body() else { return Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut body = Box::new(BodyPipe::new(passage));
        let head = poll_fn(|context| match flight.poll_head(context) {
            Poll::Ready(ended) => Poll::Ready(Ok(ended)),
            Poll::Pending => {
                body.drive(context, &flight).map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
            }
        });
        let Some(head) = within(end, head).await else { return self.give_up(request, Some(&flight)) };
        match head {
            Ok(ended) => {
                let rest = Rest { request_body: Some(body), read_ahead: environment.read_ahead() };
                let answer = answer_of(flight, ended, rest, take_headers(request));
                outcome_of(request, answer)
            }
            Err(BodyPipeError::Client(error)) => request.refuse_body(&error),
            Err(error @ BodyPipeError::System(_)) => {
                request.log(Level::Crit, format_args!("{error}"));
                Outcome::Finish(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Its time is over. Whoever runs it is to show where it is.
    fn give_up(&self, request: &Request, flight: Option<&Flight>) -> Outcome {
        let pool = self.workers.pool_name();
        let seconds = self.deadline.unwrap_or_default().as_secs();
        let hop = self.hop.borrow();
        let worker = flight.and_then(|flight| hop.seat_of(flight.ticket)).map(|seat| self.workers.worker_of(seat));
        let Some((worker, pid)) = worker.and_then(|worker| Some((worker, self.workers.pid_of(worker)?))) else {
            let text = format_args!("no worker of \"{pool}\" was free for the request in {seconds} s");
            request.log(Level::Error, text);
            return Outcome::Finish(StatusCode::GATEWAY_TIMEOUT);
        };
        order(&hop, &control::Message::Overdue { worker, pid });
        let text = format_args!("worker of \"{pool}\" (pid {pid}) has not answered within {seconds} s of the request");
        request.log(Level::Error, text);
        Outcome::Finish(StatusCode::GATEWAY_TIMEOUT)
    }

    fn refuse(&self, request: &Request, error: &CallError) -> Outcome {
        request.log(Level::Error, format_args!("{error} of \"{}\"", self.workers.pool_name()));
        Outcome::Finish(error.status())
    }
}

/// `None` where `end` comes first.
async fn within<T>(end: Option<Instant>, task: impl Future<Output = T>) -> Option<T> {
    match end {
        Some(end) => tokio::time::timeout_at(end, task).await.ok(),
        None => Some(task.await),
    }
}

/// The fields of the answer before, which the log has seen, lend their memory.
fn take_headers(request: &mut Request) -> Headers {
    let mut headers = std::mem::take(&mut request.sent.headers);
    headers.clear();
    headers
}

fn outcome_of(request: &Request, answer: Result<Box<Response>, CallError>) -> Outcome {
    match answer {
        Ok(response) => Outcome::Respond(response),
        Err(error) => {
            request.log(Level::Error, format_args!("{error}"));
            Outcome::Finish(error.status())
        }
    }
}

/// Tells the zygote to do something. One that is gone needs no orders, and its successor none of these.
fn order(hop: &EdgeThread, message: &control::Message) {
    use control::Message::{Cleaned, Kill, Overdue};
    let (Cleaned { worker, .. } | Kill { worker, .. } | Overdue { worker, .. }) = message else { return };
    let side = hop.pool().layout().side_of(*worker);
    let _ = control::send(hop.pool().control(side), message, None);
}

/// One of those that wait for a slot.
struct Place<'a>(&'a Cell<usize>);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Backend for PoolThread {
    fn call<'a>(
        self: Rc<Self>,
        request: &'a mut Request,
        environment: &'a dyn Environment,
        transfer: BodyTransfer,
    ) -> LocalFuture<'a, Outcome> {
        // A small body that is here already travels with the request, which is what streaming would come to.
        match transfer {
            BodyTransfer::Streamed if request.body.is_unread() && !request.has_whole_body(INLINE_BODY_BYTES) => {
                Box::pin(self.run_streaming(request, environment))
            }
            BodyTransfer::Buffered | BodyTransfer::Streamed => Box::pin(self.run(request, environment, true)),
            BodyTransfer::Withheld => Box::pin(self.run(request, environment, false)),
        }
    }

    fn in_flight(&self) -> usize {
        self.in_flight.get() + self.waiting.get()
    }
}

/// Why a request got no answer from an application.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("{0} requests are waiting for a worker already")]
    QueueFull(usize),
    #[error("the variables of the request are too large for the hop ({0})")]
    TooLarge(String),
    #[error("{0}")]
    Lost(String),
    #[error("worker of \"{0}\" ended the request without an answer")]
    NoAnswer(String),
    #[error("worker of \"{pool}\" sent an invalid answer: {reason}")]
    Invalid { pool: String, reason: String },
}

impl CallError {
    fn status(&self) -> StatusCode {
        match self {
            Self::QueueFull(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge(_) => StatusCode::REQUEST_HEADER_TOO_LARGE,
            Self::Lost(_) | Self::Invalid { .. } => StatusCode::BAD_GATEWAY,
            Self::NoAnswer(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<SubmitError> for CallError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::TooLarge(_) => Self::TooLarge(error.to_string()),
            SubmitError::NoSlot | SubmitError::QueueFull => Self::QueueFull(0),
        }
    }
}

fn write_record(request: &Request, environment: &dyn Environment, record: &mut Vec<u8>) -> Result<(), CallError> {
    let content_length = request.body.length();
    let flags = RecordFlags::empty()
        .with_if(request.is_https, RecordFlags::HTTPS)
        .with_if(request.passes_head(), RecordFlags::HEAD)
        .with_if(request.keep_alive, RecordFlags::KEEP_ALIVE)
        .with_if(content_length != Some(0), RecordFlags::BODY);
    let front = RecordFront { request_id: request.serial, content_length, deadline_ms: 0, flags };
    let mut writer = RecordWriter::new(record, RECORD_BYTES_MAX, &front);
    environment.write(request, &mut writer).map_err(|full| CallError::TooLarge(full.to_string()))?;
    writer.finish();
    Ok(())
}

/// A request that is with the workers. Dropping it gives the slot back, or tells the worker that nobody waits.
pub struct Flight {
    thread: Rc<PoolThread>,
    ticket: Ticket,
}

impl Flight {
    /// Ready when the head is there (`None`) or the request has ended.
    fn poll_head(&self, context: &Context<'_>) -> Poll<Option<Ended>> {
        let mut table = self.thread.table.borrow_mut();
        let entry = &mut table[self.ticket.index()];
        if entry.ended.is_some() || entry.has_head {
            return Poll::Ready(entry.ended);
        }
        entry.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn has_head(&self) -> bool {
        self.thread.table.borrow()[self.ticket.index()].has_head
    }

    /// Whether the worker waits for [`Flight::grant_pipe`]; true once.
    pub fn take_body_wanted(&self) -> bool {
        std::mem::take(&mut self.thread.table.borrow_mut()[self.ticket.index()].body_wanted)
    }

    /// Hands the read end of a pipe to the worker, which asked for the body.
    ///
    /// # Errors
    /// What the worker's socket says; the request will not get on.
    pub fn grant_pipe(&self, pipe: BorrowedFd<'_>) -> std::io::Result<()> {
        // How long the body is to be, the worker knows from the submission.
        self.thread.hop.borrow_mut().grant_body(self.ticket, BodyGrant::Pipe { pipe, length: None })
    }

    /// All of the body is in the pipe.
    pub fn end_body(&self) {
        self.thread.hop.borrow_mut().end_body(self.ticket);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut table = self.thread.table.borrow_mut();
        let entry = &mut table[self.ticket.index()];
        let has_ended = entry.ended.is_some();
        *entry = Entry::default();
        drop(table);
        let mut hop = self.thread.hop.borrow_mut();
        if has_ended {
            hop.release(self.ticket);
        } else {
            hop.abort(self.ticket);
        }
        self.thread.in_flight.set(self.thread.in_flight.get() - 1);
        if self.thread.waiting.get() > 0 {
            self.thread.slot_freed.notify_one();
        }
    }
}

/// What an answer that comes as a stream is made with.
struct Rest {
    /// What the worker still gets of the request's body: it may answer before it has read all of it.
    request_body: Option<Box<BodyPipe>>,
    read_ahead: Option<ReadAhead>,
}

/// Reads the head and, where the worker is done, the body.
fn answer_of(flight: Flight, ended: Option<Ended>, rest: Rest, headers: Headers) -> Result<Box<Response>, CallError> {
    let workers = Arc::clone(&flight.thread.workers);
    match ended {
        Some(Ended::Lost(seat)) if !flight.has_head() => return Err(CallError::Lost(workers.describe_death(seat))),
        Some(Ended::Failed) if !flight.has_head() => return Err(CallError::NoAnswer(workers.pool_name().to_owned())),
        _ => {}
    }
    let invalid = |reason: String| CallError::Invalid { pool: workers.pool_name().to_owned(), reason };
    let mut response = Response::new(StatusCode::OK);
    response.is_own = false;
    response.head.headers = headers;
    {
        let hop = flight.thread.hop.borrow();
        let mut head = flight.thread.record.borrow_mut();
        head.clear();
        hop.copy_head(flight.ticket, &mut head).map_err(|violation| invalid(violation.to_string()))?;
        let (status, reason) =
            answer::read(&head, &mut response.head.headers).map_err(|error| invalid(error.to_string()))?;
        response.head.status = status;
        response.head.reason.extend_from_slice(reason);
    }
    let has_file = flight.thread.table.borrow()[flight.ticket.index()].file.is_some();
    response.body = match ended {
        // An application that tells no length is not given one: its answer is chunked, as behind nginx.
        Some(Ended::Complete)
            if !has_file && !flight.has_head() && response.head.headers.has(HeaderId::ContentLength) =>
        {
            let mut body = Vec::new();
            let copied = flight.thread.hop.borrow_mut().copy_body(flight.ticket, &mut body, usize::MAX);
            copied.map_err(|violation| invalid(violation.to_string()))?;
            if body.is_empty() { Body::Empty } else { Body::Bytes(Bytes::from(body)) }
        }
        _ => Body::Stream(Box::new(AnswerBody::new(flight, rest))),
    };
    Ok(response)
}

/// The rest of an answer, as the worker makes it.
struct AnswerBody {
    flight: Flight,
    rest: Rest,
}

impl AnswerBody {
    fn new(flight: Flight, mut rest: Rest) -> Self {
        if let Some(body) = &mut rest.request_body {
            body.begin_answer();
        }
        Self { flight, rest }
    }

    /// Waits for the worker, whose next words may depend on the rest of the request's body.
    fn poll_request_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let Some(body) = &mut self.rest.request_body else { return Poll::Pending };
        match body.drive(context, &self.flight) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Some(Err(BodyError::Request(error.to_string())))),
        }
    }
}

impl BodyStream for AnswerBody {
    fn read_ahead(&self) -> Option<ReadAhead> {
        self.rest.read_ahead.clone()
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece, BodyError>>> {
        let thread = &self.flight.thread;
        let ticket = self.flight.ticket;
        let pool = || thread.workers.pool_name().to_owned();
        let mut octets = Vec::new();
        if thread.hop.borrow_mut().copy_body(ticket, &mut octets, BODY_READ_BYTES).is_err() {
            return Poll::Ready(Some(Err(BodyError::Truncated(format!("worker of \"{}\"", pool())))));
        }
        if !octets.is_empty() {
            return Poll::Ready(Some(Ok(Piece::Bytes(octets.into()))));
        }
        let mut table = thread.table.borrow_mut();
        let entry = &mut table[ticket.index()];
        if let Some(file) = entry.file.take() {
            return Poll::Ready(Some(Ok(Piece::File(file))));
        }
        match entry.ended {
            Some(Ended::Complete) => Poll::Ready(None),
            Some(Ended::Failed) => {
                Poll::Ready(Some(Err(BodyError::Truncated(format!("application of \"{}\"", pool())))))
            }
            Some(Ended::Lost(seat)) => {
                Poll::Ready(Some(Err(BodyError::Truncated(thread.workers.describe_death(seat)))))
            }
            None => {
                entry.waker = Some(context.waker().clone());
                drop(table);
                self.poll_request_body(context)
            }
        }
    }
}
