//! FastCGI as a web server writes and reads it, octet by octet, independent of daemun's own codec.

use crate::Connection;

/// A record without padding.
pub fn record(kind: u8, id: u16, content: &[u8]) -> Vec<u8> {
    padded(kind, id, content, 0)
}

/// A record with so many octets of padding.
pub fn padded(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let [id_high, id_low] = id.to_be_bytes();
    let [high, low] = u16::try_from(content.len()).expect("a record holds no more").to_be_bytes();
    let mut octets = vec![1, kind, id_high, id_low, high, low, padding, 0];
    octets.extend_from_slice(content);
    octets.resize(octets.len() + usize::from(padding), 0xaa);
    octets
}

/// BEGIN_REQUEST for a responder.
pub fn begin(id: u16, keeps: bool) -> Vec<u8> {
    record(1, id, &[0, 1, u8::from(keeps), 0, 0, 0, 0, 0])
}

/// Name-value pairs.
pub fn pairs(variables: &[(&str, &str)]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (name, value) in variables {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(length) if length < 128 => octets.push(length),
                _ => {
                    let length = u32::try_from(text.len()).expect("a short text") | 1 << 31;
                    octets.extend_from_slice(&length.to_be_bytes());
                }
            }
        }
        octets.extend_from_slice(name.as_bytes());
        octets.extend_from_slice(value.as_bytes());
    }
    octets
}

/// A whole request.
pub fn request(id: u16, keeps: bool, variables: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut octets = begin(id, keeps);
    octets.extend(record(4, id, &pairs(variables)));
    octets.extend(record(4, id, b""));
    for part in body.chunks(60_000) {
        octets.extend(record(5, id, part));
    }
    octets.extend(record(5, id, b""));
    octets
}

/// What came back of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The STDOUT stream: a CGI head and the body.
    pub stdout: Vec<u8>,
    /// The STDERR stream.
    pub stderr: Vec<u8>,
    /// Protocol status of END_REQUEST.
    pub protocol_status: u8,
    /// Records of other requests and of none, in order: kind, id, content.
    pub others: Vec<(u8, u16, Vec<u8>)>,
}

impl Answer {
    /// The head and the body, cut at the empty line.
    #[track_caller]
    pub fn parts(&self) -> (String, Vec<u8>) {
        let at = self.stdout.windows(4).position(|part| part == b"\r\n\r\n").expect("a head has an end");
        let (head, body) = self.stdout.split_at(at);
        (String::from_utf8_lossy(head).into_owned(), body.get(4..).unwrap_or_default().to_vec())
    }
}

/// Reads records up to the END_REQUEST of `id`.
#[track_caller]
pub fn answer(connection: &mut Connection, id: u16) -> Answer {
    let mut answer = Answer::default();
    loop {
        let (kind, of, content) = connection.next_record();
        match kind {
            6 if of == id => answer.stdout.extend(content),
            7 if of == id => answer.stderr.extend(content),
            3 if of == id => {
                answer.protocol_status = *content.get(4).expect("END_REQUEST has eight octets");
                return answer;
            }
            _ => answer.others.push((kind, of, content)),
        }
    }
}

/// Cuts a record off the front of `received`.
pub(crate) fn take_record(received: &mut Vec<u8>) -> Option<(u8, u16, Vec<u8>)> {
    let &[version, kind, id_high, id_low, high, low, padding, _] = received.first_chunk::<8>()?;
    assert_eq!(version, 1, "a record of version 1");
    let length = usize::from(u16::from_be_bytes([high, low]));
    let total = 8 + length + usize::from(padding);
    if received.len() < total {
        return None;
    }
    let record: Vec<u8> = received.drain(..total).collect();
    Some((kind, u16::from_be_bytes([id_high, id_low]), record.get(8..8 + length).unwrap_or_default().to_vec()))
}
