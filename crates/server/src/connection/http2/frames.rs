//! What each frame of a client means.

use std::rc::Rc;

use daemun_http::http2::frame::{
    self, DEFAULT_FRAME_BYTES, DEFAULT_WINDOW, ErrorCode, FRAME_BYTES_MAX, FrameHead, HEAD_BYTES, PREFACE, WINDOW_MAX,
    flag, kind, setting,
};
use daemun_http::http2::hpack::BlockLimits;

use super::connection::{Connection, ConnectionError};
use super::requests::Fate;
use crate::connection::client::Client;
use crate::limits::HTTP2_CONTROL_FRAME_BYTES;
use crate::log::Level;

/// How far the client's octets have been understood.
pub(super) enum State {
    /// The preface is awaited.
    Preface,
    /// A frame's head is.
    Head,
    /// All of a frame's payload is.
    Payload(FrameHead),
    /// The length of the padding of DATA is.
    PadLength(FrameHead),
    /// Octets of DATA are, for the stream if it wants them.
    Data { client: Option<Rc<Client>>, rest: usize, padding: usize, is_last: bool },
    /// So many octets are passed over.
    Skip(usize),
    /// Part of a header block has come: the stream goes on with it, and nothing else may come.
    Block(Block),
    /// The next part of it.
    BlockPayload(Block, FrameHead),
}

/// A header block in parts.
pub(super) struct Block {
    stream: u32,
    is_last: bool,
    fate: Fate,
    octets: Vec<u8>,
}

impl State {
    /// Whether the rest of a request's head is awaited, of a stream behind `last_stream` or one that has begun.
    pub(super) fn is_within_head(&self, last_stream: u32) -> bool {
        match self {
            Self::Block(block) | Self::BlockPayload(block, _) => block.fate != Fate::Dropped,
            Self::Payload(head) => head.kind == kind::HEADERS && head.stream > last_stream,
            _ => false,
        }
    }
}

type Step = Result<Option<usize>, ConnectionError>;

fn protocol_error(text: impl Into<String>) -> ConnectionError {
    ConnectionError::new(ErrorCode::PROTOCOL_ERROR, text)
}

fn size_error(text: impl Into<String>) -> ConnectionError {
    ConnectionError::new(ErrorCode::FRAME_SIZE_ERROR, text)
}

impl Connection {
    /// Understands the next octets: how many were used, `None` where more must come first.
    pub(super) fn step(&mut self, input: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Preface => self.preface(input),
            State::Head => match FrameHead::parse(input) {
                Some(head) => self.begin(head).map(|()| Some(HEAD_BYTES)),
                None => Ok(None),
            },
            State::Payload(head) => self.payload(head, input),
            State::PadLength(head) => match input.first() {
                Some(padding) => self.begin_data(head, usize::from(*padding)).map(|()| Some(1)),
                None => {
                    self.state = State::PadLength(head);
                    Ok(None)
                }
            },
            State::Data { client, rest, padding, is_last } => Ok(self.data(client, rest, padding, is_last, input)),
            State::Skip(rest) => {
                let count = rest.min(input.len());
                self.state = if count < rest { State::Skip(rest - count) } else { State::Head };
                Ok(if count == 0 && rest > 0 { None } else { Some(count) })
            }
            State::Block(block) => match FrameHead::parse(input) {
                Some(head) => self.continuation(block, head).map(|()| Some(HEAD_BYTES)),
                None => {
                    self.state = State::Block(block);
                    Ok(None)
                }
            },
            State::BlockPayload(block, head) => self.block_payload(block, head, input),
        }
    }

    fn preface(&mut self, input: &[u8]) -> Step {
        let here = input.get(..PREFACE.len()).unwrap_or(input);
        if !PREFACE.starts_with(here) {
            return Err(protocol_error("invalid connection preface"));
        }
        if here.len() < PREFACE.len() {
            self.state = State::Preface;
            return Ok(None);
        }
        Ok(Some(PREFACE.len()))
    }

    /// A frame begins.
    fn begin(&mut self, head: FrameHead) -> Result<(), ConnectionError> {
        if head.length > DEFAULT_FRAME_BYTES as usize {
            return Err(size_error(format!("client sent too large frame: {}", head.length)));
        }
        self.state = match head.kind {
            kind::DATA if head.has(flag::PADDED) && head.length == 0 => {
                return Err(size_error("client sent padded DATA frame with incorrect length: 0"));
            }
            kind::DATA if head.has(flag::PADDED) => State::PadLength(head),
            kind::DATA => return self.begin_data(head, 0),
            kind::HEADERS => {
                self.check_headers(head)?;
                self.scan = Default::default();
                State::Payload(head)
            }
            kind::CONTINUATION => return Err(protocol_error("client sent unexpected CONTINUATION frame")),
            kind::PUSH_PROMISE => return Err(protocol_error("client sent PUSH_PROMISE frame")),
            kind::GOAWAY => {
                check_length(head, "GOAWAY", head.length >= 8)?;
                check_stream(head, "GOAWAY", head.stream == 0)?;
                State::Skip(head.length)
            }
            kind::PRIORITY | kind::RST_STREAM | kind::SETTINGS | kind::PING | kind::WINDOW_UPDATE => {
                self.check_control(head)?;
                State::Payload(head)
            }
            unknown => {
                self.log(format_args!("client sent frame with unknown type {unknown}"));
                self.flood.control()?;
                State::Skip(head.length)
            }
        };
        Ok(())
    }

    /// Judges the length and the stream of a small frame.
    fn check_control(&mut self, head: FrameHead) -> Result<(), ConnectionError> {
        if head.kind != kind::WINDOW_UPDATE {
            self.flood.control()?;
        }
        match head.kind {
            kind::PRIORITY => {
                check_length(head, "PRIORITY", head.length == 5)?;
                self.priorities_left = self.priorities_left.saturating_sub(1);
                if self.priorities_left == 0 {
                    let text = "client sent too many PRIORITY frames";
                    return Err(ConnectionError::new(ErrorCode::ENHANCE_YOUR_CALM, text));
                }
                check_stream(head, "PRIORITY", head.stream != 0)
            }
            kind::RST_STREAM => {
                check_length(head, "RST_STREAM", head.length == 4)?;
                check_stream(head, "RST_STREAM", head.stream != 0 && head.stream <= self.last_stream)
            }
            kind::SETTINGS => {
                check_stream(head, "SETTINGS", head.stream == 0)?;
                let is_right = if head.has(flag::ACK) { head.length == 0 } else { head.length.is_multiple_of(6) };
                check_length(head, "SETTINGS", is_right && head.length <= HTTP2_CONTROL_FRAME_BYTES)
            }
            kind::PING => {
                check_length(head, "PING", head.length == 8)?;
                check_stream(head, "PING", head.stream == 0)
            }
            _ => {
                check_length(head, "WINDOW_UPDATE", head.length == 4)?;
                check_stream(head, "WINDOW_UPDATE", head.stream <= self.last_stream)
            }
        }
    }

    /// A frame whose payload is read as a whole.
    fn payload(&mut self, head: FrameHead, input: &[u8]) -> Step {
        let Some(payload) = input.get(..head.length) else {
            self.state = State::Payload(head);
            if head.kind == kind::HEADERS && !head.has(flag::PADDED) && !head.has(flag::PRIORITY) {
                let limits = self.block_limits();
                self.scan.look(input, limits)?;
            }
            return Ok(None);
        };
        match head.kind {
            kind::HEADERS => self.headers(head, payload)?,
            kind::PRIORITY => self.priority(head, payload)?,
            kind::RST_STREAM => self.rst_stream(head, payload)?,
            kind::SETTINGS if head.has(flag::ACK) => self.has_acknowledged = true,
            kind::SETTINGS => self.settings(payload)?,
            kind::PING if head.has(flag::ACK) => {}
            kind::PING => frame::write_ping_ack(payload, &mut self.shared.output.borrow_mut()),
            _ => self.window_update(head, payload)?,
        }
        Ok(Some(head.length))
    }

    fn priority(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        check_dependency(head, "PRIORITY", payload)
    }

    fn rst_stream(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        let Some(client) = self.shared.find(head.stream) else { return Ok(()) };
        let code = ErrorCode(frame::number(payload));
        if let Some(stream) = &client.http2 {
            stream.note_reset();
        }
        let id = head.stream;
        self.opened.retain(|opening| !opening.is_reset()); // Nothing has been done for it: nothing will be.
        match code {
            ErrorCode::CANCEL => self.log(format_args!("client canceled stream {id}")),
            ErrorCode::INTERNAL_ERROR => {
                self.log(format_args!("client terminated stream {id} due to internal error"));
            }
            code => self.log(format_args!("client terminated stream {id} with status {}", code.0)),
        }
        Ok(self.flood.cancelled(self.shared.finished.take())?)
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let mut window = self.shared.initial_window.get();
        for (name, value) in frame::settings(payload) {
            let invalid = |name| format!("client sent SETTINGS frame with incorrect {name} value {value}");
            match name {
                setting::INITIAL_WINDOW_SIZE if value > WINDOW_MAX => {
                    let text = invalid("INITIAL_WINDOW_SIZE");
                    return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, text));
                }
                setting::INITIAL_WINDOW_SIZE => window = value,
                setting::MAX_FRAME_SIZE if !(DEFAULT_FRAME_BYTES..=FRAME_BYTES_MAX).contains(&value) => {
                    return Err(protocol_error(invalid("MAX_FRAME_SIZE")));
                }
                setting::MAX_FRAME_SIZE => {
                    self.shared.frame_bytes.set(usize::try_from(value).unwrap_or(DEFAULT_FRAME_BYTES as usize));
                }
                setting::ENABLE_PUSH if value > 1 => return Err(protocol_error(invalid("ENABLE_PUSH"))),
                setting::HEADER_TABLE_SIZE => self.shared.is_table_changed.set(true),
                _ => {}
            }
        }
        frame::write_settings_ack(&mut self.shared.output.borrow_mut());
        let change = i64::from(window) - i64::from(self.shared.initial_window.replace(window));
        if change != 0 {
            for client in self.shared.all() {
                if let Some(stream) = &client.http2
                    && !stream.change_window(change)
                {
                    stream.reset(ErrorCode::FLOW_CONTROL_ERROR);
                }
            }
        }
        Ok(())
    }

    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        let increment = frame::number(payload) & WINDOW_MAX;
        if increment == 0 {
            return Err(protocol_error("client sent WINDOW_UPDATE frame with incorrect window increment 0"));
        }
        if head.stream != 0 {
            let Some(client) = self.shared.find(head.stream) else { return Ok(()) };
            if let Some(stream) = &client.http2
                && !stream.change_window(i64::from(increment))
            {
                self.log(format_args!(
                    "client violated flow control for stream {}: received WINDOW_UPDATE frame with window increment {increment}",
                    head.stream
                ));
                stream.reset(ErrorCode::FLOW_CONTROL_ERROR);
            }
            return Ok(());
        }
        let window = self.shared.send_window.get() + i64::from(increment);
        if window > i64::from(WINDOW_MAX) {
            let text = format!(
                "client violated connection flow control: received WINDOW_UPDATE frame with window increment {increment}"
            );
            return Err(ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, text));
        }
        self.shared.send_window.set(window);
        Ok(())
    }
}

/// DATA.
impl Connection {
    fn begin_data(&mut self, head: FrameHead, padding: usize) -> Result<(), ConnectionError> {
        check_stream(head, "DATA", head.stream != 0 && head.stream <= self.last_stream)?;
        let is_padded = head.has(flag::PADDED);
        if is_padded && padding >= head.length {
            let text =
                format!("client sent padded DATA frame with incorrect length: {}, padding: {padding}", head.length);
            return Err(protocol_error(text));
        }
        let behind = head.length - usize::from(is_padded);
        let size = u32::try_from(head.length).unwrap_or(FRAME_BYTES_MAX);
        self.receive_window = self.receive_window.checked_sub(size).ok_or_else(|| {
            let text = format!("client violated connection flow control: received DATA frame length {size}");
            ConnectionError::new(ErrorCode::FLOW_CONTROL_ERROR, text)
        })?;
        if self.receive_window < WINDOW_MAX / 4 {
            let increment = WINDOW_MAX - std::mem::replace(&mut self.receive_window, WINDOW_MAX);
            frame::write_window_update(0, increment, &mut self.shared.output.borrow_mut());
        }
        let is_last = head.has(flag::END_STREAM);
        if head.length == 0 && !is_last {
            self.flood.control()?;
        }
        let client = self.receiver(head, size)?;
        if let Some(stream) = client.as_ref().and_then(|client| client.http2.as_ref())
            && is_padded
        {
            stream.consumed(padding + 1);
        }
        self.state = State::Data { client, rest: behind - padding, padding, is_last };
        Ok(())
    }

    /// Who is to have the octets of a DATA frame; `None` where nobody is.
    fn receiver(&mut self, head: FrameHead, size: u32) -> Result<Option<Rc<Client>>, ConnectionError> {
        let id = head.stream;
        let Some(client) = self.shared.find(id) else {
            if self.shared.was_given_up(id) == Some(false) {
                frame::write_rst_stream(id, ErrorCode::STREAM_CLOSED, &mut self.shared.output.borrow_mut());
                self.shared.note_closed(id, true);
                self.flood.control()?;
            }
            return Ok(None);
        };
        let Some(stream) = &client.http2 else { return Ok(None) };
        if stream.is_reset() {
            return Ok(None);
        }
        if !stream.take_window(size) {
            self.log(format_args!("client violated flow control for stream {id}: received DATA frame length {size}"));
            stream.reset(ErrorCode::FLOW_CONTROL_ERROR);
            return Ok(None);
        }
        if stream.is_input_ended() {
            self.log(format_args!("client sent DATA frame for half-closed stream {id}"));
            stream.reset(ErrorCode::STREAM_CLOSED);
            return Ok(None);
        }
        Ok(Some(client))
    }

    fn data(
        &mut self,
        client: Option<Rc<Client>>,
        rest: usize,
        padding: usize,
        is_last: bool,
        input: &[u8],
    ) -> Option<usize> {
        let count = rest.min(input.len());
        if let Some(client) = &client
            && let Some(stream) = &client.http2
        {
            if count > 0 {
                self.flood.payload(count);
                stream.receive(client, input.get(..count).unwrap_or_default());
            }
            if count == rest && is_last {
                stream.end_input();
            }
        }
        if count == rest {
            self.state = State::Skip(padding);
            return Some(count);
        }
        self.state = State::Data { client, rest: rest - count, padding, is_last };
        (count > 0).then_some(count)
    }
}

/// HEADERS and CONTINUATION.
impl Connection {
    /// What a header block may come to.
    pub(super) fn block_limits(&self) -> BlockLimits {
        let (number, size) = self.setting(|core| core.large_client_header_buffers());
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let number = usize::try_from(number).unwrap_or(1);
        BlockLimits { text_bytes: size, total_bytes: size.saturating_mul(number) }
    }

    fn check_headers(&mut self, head: FrameHead) -> Result<(), ConnectionError> {
        let in_front = usize::from(head.has(flag::PADDED)) + if head.has(flag::PRIORITY) { 5 } else { 0 };
        check_length(head, "HEADERS", head.length >= in_front)?;
        if head.length == in_front {
            return Err(size_error("client sent HEADERS frame with empty header block"));
        }
        self.check_block_length(head.length)
    }

    fn check_block_length(&self, octets: usize) -> Result<(), ConnectionError> {
        if octets > 2 * self.block_limits().total_bytes + 4_096 {
            return Err(ConnectionError::new(ErrorCode::ENHANCE_YOUR_CALM, "client sent too large header"));
        }
        Ok(())
    }

    fn headers(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ConnectionError> {
        let block = frame::without_padding(head, payload).ok_or_else(|| {
            protocol_error(format!("client sent padded HEADERS frame with incorrect length: {}", head.length))
        })?;
        let block = if head.has(flag::PRIORITY) {
            check_dependency(head, "HEADERS", block)?;
            block.get(5..).unwrap_or_default()
        } else {
            block
        };
        let fate = self.fate_of(head)?;
        let is_last = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.end_block(head.stream, is_last, fate, block);
        }
        self.state = State::Block(Block { stream: head.stream, is_last, fate, octets: block.to_vec() });
        Ok(())
    }

    /// The rest of a head has not come in time: its stream is no more. False where that has been said already.
    pub(super) fn give_up_head(&mut self) -> bool {
        let id = match &mut self.state {
            State::Block(block) | State::BlockPayload(block, _) if block.fate == Fate::Request => {
                block.fate = Fate::Dropped;
                block.stream
            }
            State::Payload(head) if head.kind == kind::HEADERS && head.stream > self.last_stream => head.stream,
            _ => return false,
        };
        self.last_stream = self.last_stream.max(id);
        frame::write_rst_stream(id, ErrorCode::PROTOCOL_ERROR, &mut self.shared.output.borrow_mut());
        self.shared.note_closed(id, true);
        true
    }

    fn continuation(&mut self, block: Block, head: FrameHead) -> Result<(), ConnectionError> {
        if head.kind != kind::CONTINUATION {
            return Err(protocol_error("client sent inappropriate frame while CONTINUATION was expected"));
        }
        if head.stream != block.stream {
            return Err(protocol_error("client sent CONTINUATION frame with incorrect identifier"));
        }
        self.check_block_length(block.octets.len() + head.length)?;
        self.flood.continuation(head.length)?;
        self.state = State::BlockPayload(block, head);
        Ok(())
    }

    fn block_payload(&mut self, mut block: Block, head: FrameHead, input: &[u8]) -> Step {
        let Some(payload) = input.get(..head.length) else {
            self.state = State::BlockPayload(block, head);
            return Ok(None);
        };
        block.octets.extend_from_slice(payload);
        if head.has(flag::END_HEADERS) {
            self.flood.end_block();
            self.end_block(block.stream, block.is_last, block.fate, &block.octets)?;
        } else {
            self.state = State::Block(block);
        }
        Ok(Some(head.length))
    }

    /// What becomes of a header block, as its first frame tells.
    fn fate_of(&mut self, head: FrameHead) -> Result<Fate, ConnectionError> {
        let id = head.stream;
        let last = self.last_stream;
        if id.is_multiple_of(2) {
            return Err(protocol_error(format!(
                "client sent HEADERS frame with incorrect identifier {id}, the last was {last}"
            )));
        }
        if id <= last {
            return self.fate_of_later_block(head);
        }
        if self.is_leaving {
            return Ok(Fate::Dropped);
        }
        self.last_stream = id;
        let (most, window) = self.setting(|core| (core.http2.max_concurrent_streams(), core.http2.body_preread_size()));
        let open = self.shared.open.get();
        self.new_streams += 1;
        let refusal = if open >= most {
            format!("concurrent streams exceeded {open}")
        } else if self.new_streams > 2 * most {
            "client sent too many streams at once".to_owned()
        } else if !self.has_acknowledged && !head.has(flag::END_STREAM) && window < DEFAULT_WINDOW {
            "client sent stream with data before settings were acknowledged".to_owned()
        } else {
            self.priorities_left = self.priorities_left.saturating_add(most);
            return Ok(Fate::Request);
        };
        self.log(format_args!("{refusal}"));
        self.refused_streams += 1;
        if self.refused_streams > most.max(100) {
            return Err(ConnectionError::new(ErrorCode::NO_ERROR, "client sent too many refused streams"));
        }
        frame::write_rst_stream(id, ErrorCode::REFUSED_STREAM, &mut self.shared.output.borrow_mut());
        self.shared.note_closed(id, true);
        Ok(Fate::Dropped)
    }

    /// A second block: fields behind the body, or a mistake.
    fn fate_of_later_block(&mut self, head: FrameHead) -> Result<Fate, ConnectionError> {
        let (id, last) = (head.stream, self.last_stream);
        let text = format!("client sent HEADERS frame with incorrect identifier {id}, the last was {last}");
        match self.shared.find(id).as_ref().and_then(|client| client.http2.clone()) {
            Some(stream) if stream.is_reset() => Ok(Fate::Dropped),
            Some(stream) if !stream.is_input_ended() && head.has(flag::END_STREAM) => Ok(Fate::Trailers),
            Some(stream) if !stream.is_input_ended() => {
                self.log(format_args!("{text}"));
                stream.reset(ErrorCode::PROTOCOL_ERROR);
                Ok(Fate::Dropped)
            }
            None if self.shared.was_given_up(id) == Some(true) => Ok(Fate::Dropped),
            None if self.shared.was_given_up(id).is_none() => Err(protocol_error(text)),
            _ => {
                // The RFC has a code for a stream that is closed; the connection ends as nginx ends it.
                frame::write_rst_stream(id, ErrorCode::STREAM_CLOSED, &mut self.shared.output.borrow_mut());
                Err(protocol_error(text))
            }
        }
    }

    /// A header block is whole.
    fn end_block(&mut self, id: u32, is_last: bool, fate: Fate, block: &[u8]) -> Result<(), ConnectionError> {
        self.flood.payload(block.len());
        match fate {
            Fate::Request => self.open(id, is_last, block),
            Fate::Trailers => self.end_with_trailers(id, block),
            Fate::Dropped => {
                let limits = self.block_limits();
                Ok(self.decoder.decode(block, limits, |_, _| {})?)
            }
        }
    }

    fn end_with_trailers(&mut self, id: u32, block: &[u8]) -> Result<(), ConnectionError> {
        let mut has_pseudo = false;
        let limits = self.block_limits();
        self.decoder.decode(block, limits, |name, _| has_pseudo |= name.starts_with(b":"))?;
        let Some(client) = self.shared.find(id) else { return Ok(()) };
        let Some(stream) = &client.http2 else { return Ok(()) };
        if has_pseudo {
            client.log_about_stream(Level::Info, "client sent pseudo-headers behind a body");
            stream.reset(ErrorCode::PROTOCOL_ERROR);
        } else {
            stream.end_input();
        }
        Ok(())
    }
}

fn check_length(head: FrameHead, name: &str, is_right: bool) -> Result<(), ConnectionError> {
    if is_right {
        return Ok(());
    }
    Err(size_error(format!("client sent {name} frame with incorrect length {}", head.length)))
}

fn check_stream(head: FrameHead, name: &str, is_right: bool) -> Result<(), ConnectionError> {
    if is_right {
        return Ok(());
    }
    Err(protocol_error(format!("client sent {name} frame with incorrect identifier {}", head.stream)))
}

/// No stream waits for itself.
fn check_dependency(head: FrameHead, name: &str, payload: &[u8]) -> Result<(), ConnectionError> {
    if frame::number(payload) & WINDOW_MAX == head.stream {
        let id = head.stream;
        return Err(protocol_error(format!("client sent {name} frame for stream {id} with incorrect dependency")));
    }
    Ok(())
}
