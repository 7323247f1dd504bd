//! An HTTP/1 answer as it came: nothing is folded, sorted or decoded except the chunked coding.
//!
//! Strict on purpose: a bare LF, a bad chunk or a length that does not fit makes the answer malformed, since that is what a
//! test wants to hear.

/// How the end of an answer's body was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none by its status or because the request was HEAD.
    None,
    /// By Content-Length.
    Length,
    /// By the chunked coding.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// `HTTP/1.1` or what else stands there.
    pub version: String,
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Names and values in order; each octet of a value is one character.
    pub headers: Vec<(String, String)>,
    /// The body, without its chunk lines.
    pub body: Vec<u8>,
    /// The data of each chunk, when the coding is chunked.
    pub chunks: Vec<usize>,
    /// How the body ended.
    pub framing: Framing,
    /// Statuses of the interim answers before it.
    pub interim: Vec<u16>,
}

impl Response {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every value of a header, in order.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let own = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Result of looking at what has been received so far.
pub(crate) enum Step<T> {
    Done { value: T, taken: usize },
    More,
    Malformed(String),
}

/// Reads a whole answer, interim ones before it included, from the front of `received`.
pub(crate) fn read_response(received: &[u8], to_head: bool, is_closed: bool) -> Step<Response> {
    let mut start = 0;
    let mut interim = Vec::new();
    loop {
        let rest = received.get(start..).unwrap_or_default();
        let (mut response, head_length) = match read_head(rest) {
            Step::Done { value, taken } => (value, taken),
            Step::More => return Step::More,
            Step::Malformed(why) => return Step::Malformed(why),
        };
        start += head_length;
        if (100..200).contains(&response.status) && response.status != 101 {
            interim.push(response.status);
            continue;
        }
        response.interim = interim;
        let body = received.get(start..).unwrap_or_default();
        return match read_body(&mut response, body, to_head, is_closed) {
            Step::Done { taken, .. } => Step::Done { value: response, taken: start + taken },
            Step::More => Step::More,
            Step::Malformed(why) => Step::Malformed(why),
        };
    }
}

/// Reads one interim answer.
pub(crate) fn read_interim(received: &[u8]) -> Step<u16> {
    match read_head(received) {
        Step::Done { value, .. } if !(100..200).contains(&value.status) => {
            Step::Malformed(format!("status {} where 1xx was due", value.status))
        }
        Step::Done { value, taken } => Step::Done { value: value.status, taken },
        Step::More => Step::More,
        Step::Malformed(why) => Step::Malformed(why),
    }
}

fn read_head(received: &[u8]) -> Step<Response> {
    let Some(end) = find(received, b"\r\n\r\n") else {
        return Step::More;
    };
    let text = latin1(received.get(..end).unwrap_or_default());
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let mut words = status_line.splitn(3, ' ');
    let version = words.next().unwrap_or_default().to_owned();
    let Some(status) = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse().ok()) else {
        return Step::Malformed(format!("status line {status_line:?}"));
    };
    if !version.starts_with("HTTP/1.") {
        return Step::Malformed(format!("status line {status_line:?}"));
    }
    let reason = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    for line in lines {
        match header(line) {
            Some(header) => headers.push(header),
            None => return Step::Malformed(format!("header line {line:?}")),
        }
    }
    let response = Response {
        version,
        status,
        reason,
        headers,
        body: Vec::new(),
        chunks: Vec::new(),
        framing: Framing::None,
        interim: Vec::new(),
    };
    Step::Done { value: response, taken: end + 4 }
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_clean = !name.is_empty() && !name.contains([' ', '\t']) && !value.contains(['\n', '\r', '\0']);
    is_clean.then(|| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn read_body(response: &mut Response, received: &[u8], to_head: bool, is_closed: bool) -> Step<()> {
    if to_head || matches!(response.status, 101 | 204 | 304) {
        return Step::Done { value: (), taken: 0 };
    }
    let length = response.header("Content-Length").map(str::to_owned);
    match response.header("Transfer-Encoding") {
        Some(_) if length.is_some() => Step::Malformed("Content-Length beside Transfer-Encoding".to_owned()),
        Some(coding) if !coding.eq_ignore_ascii_case("chunked") => {
            Step::Malformed(format!("Transfer-Encoding {coding:?}"))
        }
        Some(_) => read_chunks(response, received),
        None => match length {
            Some(length) => read_length(response, received, &length),
            None if is_closed => {
                response.framing = Framing::Close;
                response.body = received.to_vec();
                Step::Done { value: (), taken: received.len() }
            }
            None => Step::More,
        },
    }
}

fn read_length(response: &mut Response, received: &[u8], length: &str) -> Step<()> {
    let Ok(length) = length.parse::<usize>() else {
        return Step::Malformed(format!("Content-Length {length:?}"));
    };
    let Some(body) = received.get(..length) else {
        return Step::More;
    };
    response.framing = Framing::Length;
    response.body = body.to_vec();
    Step::Done { value: (), taken: length }
}

fn read_chunks(response: &mut Response, received: &[u8]) -> Step<()> {
    response.framing = Framing::Chunked;
    let mut start = 0;
    loop {
        let rest = received.get(start..).unwrap_or_default();
        let Some(line_end) = find(rest, b"\r\n") else {
            return Step::More;
        };
        let line = latin1(rest.get(..line_end).unwrap_or_default());
        let Ok(size) = usize::from_str_radix(&line, 16) else {
            return Step::Malformed(format!("chunk line {line:?}"));
        };
        let data_start = line_end + 2;
        let Some(data) = rest.get(data_start..data_start + size) else {
            return Step::More;
        };
        match rest.get(data_start + size..data_start + size + 2) {
            Some(b"\r\n") => {}
            Some(other) => return Step::Malformed(format!("{other:?} behind a chunk")),
            None => return Step::More,
        }
        start += data_start + size + 2;
        if size == 0 {
            return Step::Done { value: (), taken: start };
        }
        response.chunks.push(size);
        response.body.extend_from_slice(data);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn latin1(octets: &[u8]) -> String {
    octets.iter().map(|&octet| char::from(octet)).collect()
}
