//! What can go wrong on the hop, and whose fault it is.

use std::io;

/// Why an operation on the hop as a whole failed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A number in the layout is zero or above its limit.
    #[error("{what} is {value}, it must be between 1 and {most}")]
    Layout {
        /// The field of the layout.
        what: &'static str,
        /// What was asked for.
        value: u64,
        /// The largest value allowed.
        most: u64,
    },

    /// The memory behind the descriptor is not a segment of this version and layout.
    #[error("the shared segment does not match: {0}")]
    Segment(&'static str),

    /// A seat or an edge thread that the layout does not have, or that is already taken.
    #[error("{what} {index} does not exist or is already taken")]
    Index {
        /// "seat" or "edge thread".
        what: &'static str,
        /// The index asked for.
        index: u16,
    },

    /// A handover or a control message that cannot be read.
    #[error("{0}")]
    Message(#[from] MessageError),

    /// The system refused.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl ChannelError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { what, source: errno.into() }
    }
}

/// Why a message of the control channel or a handover was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The message ends before its last field.
    #[error("control message is cut short")]
    Truncated,

    /// The first byte names no message of this version.
    #[error("control message of unknown kind {0}")]
    UnknownKind(u8),

    /// A field has a value that no sender of ours writes.
    #[error("control message has a bad {0}")]
    Field(&'static str),

    /// The handover is not the JSON text of this version.
    #[error("handover: {0}")]
    Handover(String),
}

/// Why a request could not be put on the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Every slot of this edge thread is in use; answer 503 or wait for an END.
    #[error("no free slot")]
    NoSlot,

    /// Record and inline body are above [`crate::limits::REQUEST_BYTES_MAX`].
    #[error("request record of {0} bytes is too large")]
    TooLarge(usize),

    /// The submission queue has no room, which only a misbehaving worker can cause.
    #[error("submission queue is full")]
    QueueFull,
}

/// Why a worker's write did not reach the edge.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The client is gone, or the edge is: whatever is written goes nowhere.
    #[error("the client is gone")]
    Aborted,

    /// The response head is larger than the room for it.
    #[error("response head of {length} bytes is larger than {most}")]
    HeadTooLarge {
        /// Bytes of the head.
        length: usize,
        /// Bytes that fit.
        most: usize,
    },

    /// A call out of order: a second head, body bytes before a head or after a file.
    #[error("{0}")]
    Order(&'static str),

    /// The system refused.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl JobError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { what, source: errno.into() }
    }
}

/// A value in shared memory that no worker of ours writes: a broken or hostile worker.
///
/// The edge answers 502 and asks the zygote to kill the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The response head lies outside of its slot.
    #[error("response head lies outside of its slot")]
    Head,

    /// The response body's counters or places make no sense.
    #[error("response body lies outside of its room")]
    Body,

    /// A completion queue claims to hold more entries than it has places.
    #[error("completion queue counters make no sense")]
    CompletionQueue,

    /// A file was announced and its descriptor is not on the seat's socket.
    #[error("an announced file descriptor did not arrive")]
    MissingDescriptor,
}
