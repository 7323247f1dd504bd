//! What a connection's task and its streams have in common.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::Waker;

use daemun_http::http2::frame::{DEFAULT_FRAME_BYTES, DEFAULT_WINDOW};

use super::stream::Http2Stream;
use crate::connection::client::Client;
use crate::limits::{HTTP2_CLOSED_STREAMS, HTTP2_OUTPUT_BYTES, HTTP2_TURN_BYTES};

/// Frames on their way out, windows, and the streams.
pub(super) struct Shared {
    /// Frames that the socket has not taken, from `written` on.
    pub(super) output: RefCell<Vec<u8>>,
    pub(super) written: Cell<usize>,
    /// Octets of DATA that the client takes on the whole connection.
    pub(super) send_window: Cell<i64>,
    /// Octets that it takes on a new stream.
    pub(super) initial_window: Cell<u32>,
    /// Octets of its largest frame.
    pub(super) frame_bytes: Cell<usize>,
    /// Whether it has changed the size of its table and waits for an answer.
    pub(super) is_table_changed: Cell<bool>,
    /// Requests that are being answered.
    pub(super) streams: RefCell<HashMap<u32, Rc<Client>>>,
    /// Those of them that the client has not given up.
    pub(super) open: Cell<u32>,
    /// Streams that ended lately, and whether it was we who gave them up.
    closed: RefCell<VecDeque<(u32, bool)>>,
    /// Streams that have octets and wait for room.
    turns: RefCell<VecDeque<Rc<Http2Stream>>>,
    waker: RefCell<Option<Waker>>,
    /// Whether the task runs: it need not be woken.
    pub(super) is_running: Cell<bool>,
    /// Answers that were sent whole since somebody asked.
    pub(super) finished: Cell<u32>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            output: RefCell::default(),
            written: Cell::new(0),
            send_window: Cell::new(i64::from(DEFAULT_WINDOW)),
            initial_window: Cell::new(DEFAULT_WINDOW),
            frame_bytes: Cell::new(DEFAULT_FRAME_BYTES as usize),
            is_table_changed: Cell::new(false),
            streams: RefCell::default(),
            open: Cell::new(0),
            closed: RefCell::default(),
            turns: RefCell::default(),
            waker: RefCell::default(),
            is_running: Cell::new(false),
            finished: Cell::new(0),
        }
    }

    /// The task looks, and is to be woken by this waker.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// There is something for the task to do.
    pub(super) fn wake(&self) {
        if !self.is_running.get()
            && let Some(waker) = self.waker.borrow().as_ref()
        {
            waker.wake_by_ref();
        }
    }

    /// Octets that the socket has not taken.
    pub(super) fn pending(&self) -> usize {
        self.output.borrow().len() - self.written.get()
    }

    /// Whether streams wait until the socket has taken some.
    pub(super) fn is_full(&self) -> bool {
        self.pending() >= HTTP2_OUTPUT_BYTES
    }

    /// Whether somebody waits for a turn.
    pub(super) fn has_queue(&self) -> bool {
        !self.turns.borrow().is_empty()
    }

    pub(super) fn queue(&self, stream: Rc<Http2Stream>) {
        self.turns.borrow_mut().push_back(stream);
    }

    /// Lets streams that wait write, as many as there is room for, in the order in which they came.
    pub(super) fn give_turns(&self) {
        if self.send_window.get() <= 0 {
            return;
        }
        let mut room = HTTP2_OUTPUT_BYTES.saturating_sub(self.pending());
        while room > 0 {
            let Some(stream) = self.turns.borrow_mut().pop_front() else { return };
            if stream.take_turn(HTTP2_TURN_BYTES) {
                room = room.saturating_sub(HTTP2_TURN_BYTES);
            }
        }
    }

    /// The request of a stream is over.
    pub(super) fn remove(&self, id: u32, is_given_up: bool) {
        self.streams.borrow_mut().remove(&id);
        self.note_closed(id, is_given_up);
        self.wake();
    }

    /// Remembers that a stream has been.
    pub(super) fn note_closed(&self, id: u32, is_given_up: bool) {
        let mut closed = self.closed.borrow_mut();
        if closed.len() >= HTTP2_CLOSED_STREAMS {
            closed.pop_front();
        }
        closed.push_back((id, is_given_up));
    }

    /// Whether a stream ended lately; `Some(true)` where we gave it up and its client may not know.
    pub(super) fn was_given_up(&self, id: u32) -> Option<bool> {
        let closed = self.closed.borrow();
        closed.iter().rev().find(|(closed, _)| *closed == id).map(|(_, is_given_up)| *is_given_up)
    }

    /// The client of an open stream.
    pub(super) fn find(&self, id: u32) -> Option<Rc<Client>> {
        self.streams.borrow().get(&id).cloned()
    }

    /// All open streams.
    pub(super) fn all(&self) -> Vec<Rc<Client>> {
        self.streams.borrow().values().cloned().collect()
    }

    /// Nothing can be sent or received any more.
    pub(super) fn close_all(&self) {
        for client in self.all() {
            if let Some(stream) = &client.http2 {
                stream.note_reset();
            }
        }
        self.turns.borrow_mut().clear();
    }
}
