//! A client that sends HTTP/2 frames as it is told, right ones or wrong ones.

use crate::{Address, Connection};

/// DATA.
pub const DATA: u8 = 0;
/// HEADERS.
pub const HEADERS: u8 = 1;
/// RST_STREAM.
pub const RST_STREAM: u8 = 3;
/// SETTINGS.
pub const SETTINGS: u8 = 4;
/// PING.
pub const PING: u8 = 6;
/// GOAWAY.
pub const GOAWAY: u8 = 7;
/// WINDOW_UPDATE.
pub const WINDOW_UPDATE: u8 = 8;
/// CONTINUATION.
pub const CONTINUATION: u8 = 9;

/// The flag that ends a stream.
pub const END_STREAM: u8 = 1;
/// The flag that ends a header block.
pub const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let start = if self.kind == GOAWAY { 4 } else { 0 };
        self.payload
            .get(start..start + 4)
            .map_or(u32::MAX, |octets| octets.iter().fold(0, |code, octet| code << 8 | u32::from(*octet)))
    }

    /// The status of an answer's HEADERS, where it is one of those with a number of their own; else 0.
    pub fn status(&self) -> u16 {
        let known = [200, 204, 206, 304, 400, 404, 500];
        let number = self.payload.first().map_or(0, |first| usize::from(*first));
        number.checked_sub(0x88).and_then(|place| known.get(place)).copied().unwrap_or(0)
    }
}

/// A connection that has been begun as HTTP/2 wants it.
#[derive(Debug)]
pub struct Http2Connection(pub Connection);

impl Http2Connection {
    /// Connects, and sends the preface with these settings.
    #[track_caller]
    pub fn to(address: &Address, settings: &[(u16, u32)]) -> Self {
        let mut connection = Self(Connection::to(address));
        connection.0.send(PREFACE);
        let octets: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
            .collect();
        connection.frame(SETTINGS, 0, 0, &octets);
        connection
    }

    /// Sends a frame.
    #[track_caller]
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0.send(frame(kind, flags, stream, payload));
    }

    /// Sends a GET without a body.
    #[track_caller]
    pub fn get(&mut self, stream: u32, path: &str) {
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, &block("GET", path, &[]));
    }

    /// The next frame; `None` at the connection's end.
    pub fn receive(&mut self) -> Option<Frame> {
        let head = self.0.octets(9)?;
        let number = |octets: &[u8]| octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
        let payload = self.0.octets(number(&head[..3]) as usize)?;
        Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
    }

    /// The next frame of this type, whatever comes before it.
    #[track_caller]
    pub fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.receive().unwrap_or_else(|| panic!("the connection ended without a frame of type {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// The frames of an answer: status, octets of DATA by frame.
    #[track_caller]
    pub fn answer(&mut self, stream: u32) -> (u16, Vec<Vec<u8>>) {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let frame = self.receive().expect("the connection ended in the middle of an answer");
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS if status == 0 => status = frame.status(),
                DATA => body.push(frame.payload),
                RST_STREAM => panic!("stream {stream} was reset with {}", frame.code()),
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return (status, body);
            }
        }
    }
}

/// A frame's octets.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header block of a request, each field written out.
pub fn block(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let base = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "example.test")];
    base.iter().chain(fields).flat_map(|(name, value)| literal(name, value)).collect()
}

/// One field, written out and not to be remembered.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    match text.len() {
        short @ ..127 => octets.push(short as u8),
        long => {
            octets.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                octets.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            octets.push(rest as u8);
        }
    }
    octets.extend_from_slice(text.as_bytes());
    octets
}
