//! What an upstream still has to get of a request while its answer is waited for, or comes already.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use daemun_net::Stream;
use daemun_server::Request;
use daemun_server::body::{BodyPassage, PassageError, RequestBodyError};
use daemun_server::response::OpenFile;
use tokio::io::{AsyncWrite, Interest};
use tokio::time::{Instant, Sleep};

/// The rest of a request. It moves only while it is polled, so that it stops with the request.
pub struct Sending {
    rest: Rest,
    timeout: Timeout,
}

enum Rest {
    Nothing,
    /// Octets that stand ready.
    Octets {
        octets: Vec<u8>,
        sent: usize,
        then: Box<Rest>,
    },
    /// A body that was read before.
    File {
        file: Rc<OpenFile>,
        offset: u64,
        end: u64,
    },
    /// A body that the client still sends.
    Client(BodyPassage),
}

/// Why an upstream did not get all of a request.
#[derive(Debug)]
pub enum SendError {
    /// The client's end failed.
    Client(RequestBodyError),
    /// The upstream's end failed.
    Upstream(io::Error),
    /// The upstream took nothing within the time-out.
    TimedOut,
}

impl Sending {
    /// `first`, then the body of `request` where `with_body`: what has been read of it, or what comes of it.
    pub fn new(mut first: Vec<u8>, request: &mut Request, with_body: bool, timeout: Duration) -> Self {
        let mut then = Rest::Nothing;
        if let Some(octets) = request.body.in_memory().filter(|_| with_body) {
            first.extend_from_slice(octets);
        }
        if with_body {
            then = body_of(request);
        }
        let rest = Rest::Octets { octets: first, sent: 0, then: Box::new(then) };
        Self { rest, timeout: Timeout::new(timeout) }
    }

    /// Whether there is nothing left to send, so that the upstream alone is waited for.
    pub fn is_done(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Gives up what has not been sent: the upstream takes no more.
    pub fn stop(&mut self) {
        self.rest = Rest::Nothing;
    }

    /// The answer's head goes out: a client that still waits for `100 Continue` gets none any more.
    pub fn begin_answer(&mut self) {
        if let Rest::Client(passage) = &mut self.rest {
            passage.begin_answer();
        }
    }

    /// Sends what can be sent. Ready once that is all.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn poll(&mut self, context: &mut Context<'_>, stream: &mut Stream) -> Poll<Result<(), SendError>> {
        loop {
            match &mut self.rest {
                Rest::Nothing => return Poll::Ready(Ok(())),
                Rest::Octets { octets, sent, then } => match octets.get(*sent..).filter(|left| !left.is_empty()) {
                    None => self.rest = std::mem::replace(then, Rest::Nothing),
                    Some(left) => {
                        *sent += ready!(self.timeout.poll(context, |context| poll_write(stream, context, left)))?
                    }
                },
                Rest::File { file, offset, end } if *offset < *end => {
                    ready!(self.timeout.poll(context, |context| poll_send_file(stream, context, file, offset, *end)))?;
                }
                Rest::File { .. } => self.rest = Rest::Nothing,
                Rest::Client(passage) => {
                    ready!(poll_passage(passage, &mut self.timeout, stream, context))?;
                    self.rest = Rest::Nothing;
                }
            }
        }
    }
}

fn body_of(request: &mut Request) -> Rest {
    if let Some(file) = request.body.in_file() {
        return Rest::File { file: Rc::clone(file), offset: 0, end: request.body.length().unwrap_or(0) };
    }
    request.share_body().map_or(Rest::Nothing, Rest::Client)
}

fn poll_passage(
    passage: &mut BodyPassage,
    timeout: &mut Timeout,
    stream: &mut Stream,
    context: &mut Context<'_>,
) -> Poll<Result<(), SendError>> {
    let mut is_late = false;
    let write = |context: &mut Context<'_>, octets: &[u8]| {
        let written = timeout.poll(context, |context| poll_write(stream, context, octets));
        written.map_err(|error| match error {
            SendError::Upstream(error) => error,
            SendError::Client(_) | SendError::TimedOut => {
                is_late = true;
                io::ErrorKind::TimedOut.into()
            }
        })
    };
    passage.poll(context, write).map_err(|error| match error {
        PassageError::Client(error) => SendError::Client(error),
        PassageError::Sink(_) if is_late => SendError::TimedOut,
        PassageError::Sink(error) => SendError::Upstream(error),
    })
}

fn poll_write(stream: &mut Stream, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(stream).poll_write(context, octets)) {
        Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        result => Poll::Ready(result),
    }
}

fn poll_send_file(
    stream: &Stream,
    context: &mut Context<'_>,
    file: &OpenFile,
    offset: &mut u64,
    end: u64,
) -> Poll<io::Result<usize>> {
    loop {
        let rest = end.saturating_sub(*offset);
        let call = || daemun_net::send_file(stream.as_fd(), file.descriptor.as_fd(), offset, rest);
        match stream.try_io(Interest::WRITABLE, call) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(stream.poll_write_ready(context))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

/// Time that one step may take.
pub struct Timeout {
    after: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl Timeout {
    /// `after` begins with the first poll that has to wait.
    pub fn new(after: Duration) -> Self {
        Self { after, sleep: None, is_running: false }
    }

    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        step: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<Result<T, SendError>> {
        if let Poll::Ready(result) = step(context) {
            self.stop();
            return Poll::Ready(result.map_err(SendError::Upstream));
        }
        self.poll_elapsed(context).map(|()| Err(SendError::TimedOut))
    }

    /// Ready when the time has passed since the first of these calls, or the first after [`Timeout::stop`].
    pub fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let after = self.after;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        if !std::mem::replace(&mut self.is_running, true) {
            sleep.as_mut().reset(Instant::now() + after);
        }
        sleep.as_mut().poll(context)
    }

    /// What was waited for has come.
    pub fn stop(&mut self) {
        self.is_running = false;
    }
}
