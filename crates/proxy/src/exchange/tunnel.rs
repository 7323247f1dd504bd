//! An upgraded connection (WebSocket): octets go both ways until one side ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use daemun_server::connection::{Client, Deadline};
use daemun_server::response::Tunnel;
use daemun_server::thread::with_read_buffer;
use tokio::io::{AsyncRead, ReadBuf};

use super::answer_body::AnswerBody;
use super::conversation::Conversation;
use super::sending::poll_write;
use crate::limits::TUNNEL_BYTES;

/// A client's connection and a server's, joined.
pub struct UpgradedConnection {
    conversation: Box<Conversation>,
    /// What is left of the answer: the request counts as the server's until here.
    answer: Box<AnswerBody>,
    to_server: BytesMut,
    to_client: BytesMut,
    client_ended: bool,
    server_ended: bool,
    has_begun: bool,
    sent: u64,
    read_timeout: Deadline,
    read_after: Duration,
    write_timeout: Deadline,
    write_after: Duration,
}

impl UpgradedConnection {
    pub(super) fn new(mut conversation: Box<Conversation>, answer: Box<AnswerBody>, write_after: Duration) -> Self {
        let to_client = std::mem::take(&mut conversation.input);
        let read_after = conversation.read_timeout();
        Self {
            conversation,
            answer,
            to_server: BytesMut::new(),
            to_client,
            client_ended: false,
            server_ended: false,
            has_begun: false,
            sent: 0,
            read_timeout: Deadline::default(),
            read_after,
            write_timeout: Deadline::default(),
            write_after,
        }
    }

    /// From the server to the client. True when something moved.
    fn pump_down(&mut self, context: &mut Context<'_>, client: &Client) -> io::Result<bool> {
        let mut has_moved = false;
        loop {
            while !self.to_client.is_empty() {
                match client.poll_write(context, &self.to_client) {
                    Poll::Ready(count) => {
                        let count = count?;
                        self.to_client.advance(count);
                        self.sent += count as u64;
                        has_moved = true;
                    }
                    Poll::Pending => break,
                }
            }
            if self.to_client.len() >= TUNNEL_BYTES || self.server_ended {
                return Ok(has_moved);
            }
            let stream = &mut self.conversation.connection.stream;
            let read = read_into(&mut self.to_client, |buffer| Pin::new(&mut *stream).poll_read(context, buffer));
            match read {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => self.server_ended = true,
                Poll::Ready(Ok(count)) => {
                    self.conversation.received += count as u64;
                    self.read_timeout.clear();
                    has_moved = true;
                }
                Poll::Pending => return Ok(has_moved),
            }
        }
    }

    /// From the client to the server. True when something moved.
    fn pump_up(&mut self, context: &mut Context<'_>, client: &Client) -> io::Result<bool> {
        let mut has_moved = false;
        loop {
            while !self.to_server.is_empty() {
                match poll_write(&mut self.conversation.connection.stream, context, &self.to_server) {
                    Poll::Ready(count) => {
                        self.to_server.advance(count?);
                        has_moved = true;
                    }
                    Poll::Pending => break,
                }
            }
            if self.to_server.len() >= TUNNEL_BYTES || self.client_ended {
                return Ok(has_moved);
            }
            let read = read_into(&mut self.to_server, |buffer| {
                client.poll_read(context, buffer.initialize_unfilled()).map_ok(|count| buffer.advance(count))
            });
            match read {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => self.client_ended = true,
                Poll::Ready(Ok(_)) => has_moved = true,
                Poll::Pending => return Ok(has_moved),
            }
        }
    }

    fn is_over(&self) -> bool {
        (self.server_ended && self.to_client.is_empty())
            || (self.client_ended && self.to_server.is_empty())
            || (self.server_ended && self.client_ended)
    }

    fn note(&self) {
        self.answer.states().change(|state, elapsed| {
            state.response_ms = Some(elapsed);
            state.received = self.conversation.received;
            state.response_length = self.sent;
        });
    }
}

/// One read by way of the thread's buffer, so that a silent tunnel holds none.
fn read_into(
    out: &mut BytesMut,
    read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
) -> Poll<io::Result<usize>> {
    with_read_buffer(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        read(&mut buffer).map_ok(|()| {
            out.extend_from_slice(buffer.filled());
            buffer.filled().len()
        })
    })
}

impl Tunnel for UpgradedConnection {
    fn poll(&mut self, context: &mut Context<'_>, client: &Client) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.to_server.extend_from_slice(&client.take_pending_input());
        }
        let has_moved = self.pump_down(context, client)? | self.pump_up(context, client)?;
        if self.is_over() {
            self.note();
            return Poll::Ready(Ok(()));
        }
        if has_moved {
            self.read_timeout.clear();
            self.write_timeout.clear();
        }
        let is_writing = !self.to_client.is_empty() || !self.to_server.is_empty();
        let is_late = self.read_timeout.poll_after(self.read_after, context).is_ready()
            || is_writing && self.write_timeout.poll_after(self.write_after, context).is_ready();
        if is_late {
            self.note();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // What is left empty gives its memory back: most tunnels are silent most of the time.
        for waiting in [&mut self.to_client, &mut self.to_server] {
            if waiting.is_empty() && waiting.capacity() > 0 {
                *waiting = BytesMut::new();
            }
        }
        Poll::Pending
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}
