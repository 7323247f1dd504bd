//! An application that this process tree runs itself, as a handler sees it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use daemun_gateway::variable::{Full, VariableSink};

use crate::phase::{LocalFuture, Outcome};
use crate::request::Request;
use crate::response::ReadAhead;

/// Number of an application pool; the same on all threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendId(pub usize);

/// Octets of a request body that travel to an application beside its head; a larger one is read into a file first.
pub const SMALL_BODY_BYTES: u64 = 16 * 1024;

/// A pool's end on one edge thread.
pub trait Backend {
    /// Hands `request` over and waits for the answer's head; the body may follow as a stream.
    ///
    /// `environment` is called once, when there is room for the request.
    fn call<'a>(
        self: Rc<Self>,
        request: &'a mut Request,
        environment: &'a dyn Environment,
        transfer: BodyTransfer,
    ) -> LocalFuture<'a, Outcome>;

    /// Requests that wait for a worker or are with one.
    fn in_flight(&self) -> usize;
}

/// When an application gets a request whose body the client still sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyTransfer {
    /// Once all of the body is here: a slow client holds no worker.
    Buffered,
    /// At once; the body follows as it comes.
    Streamed,
    /// Once all of the body is here, which is kept from the application.
    Withheld,
}

/// The variables that an application gets of a request.
pub trait Environment {
    /// Gives the variables to `sink`.
    ///
    /// # Errors
    /// [`Full`] when they are larger than what carries them.
    fn write(&self, request: &Request, sink: &mut dyn VariableSink) -> Result<(), Full>;

    /// How far an answer is read ahead of a client that reads slowly; `None` is the server's own measure.
    fn read_ahead(&self) -> Option<ReadAhead> {
        None
    }
}

/// The address an application pool listens on, as `uwsgi_pass` would name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SocketName {
    /// A unix socket's path.
    Unix(PathBuf),
    /// An address and port.
    Inet(SocketAddr),
    /// A pool by its name, as `app:NAME` has it.
    Pool(String),
}
