//! Puts together the octets of ordinary requests. A test of unusual ones writes the octets itself.

use crate::{Address, ClientError, Connection, Response};

/// A request that is well formed unless a test makes it otherwise.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// `method target HTTP/1.1` with `Host: example.test`.
    pub fn new(method: &str, target: &str) -> Self {
        let headers = vec![("Host".to_owned(), "example.test".to_owned())];
        Self { method: method.to_owned(), target: target.to_owned(), version: "HTTP/1.1", headers, body: Vec::new() }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST of `body` with its length.
    pub fn post(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut request = Self::new("POST", target)
            .header("Content-Type", content_type)
            .header("Content-Length", &body.len().to_string());
        request.body = body;
        request
    }

    /// Adds a header, also when one of that name is there.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes another Host.
    pub fn host(mut self, host: &str) -> Self {
        self.headers.retain(|(name, _)| name != "Host");
        self.header("Host", host)
    }

    /// Takes another version in the request line.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Sends `parts` as chunks, one each, and the last chunk.
    pub fn chunked(mut self, parts: &[&[u8]]) -> Self {
        for part in parts {
            self.body.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            self.body.extend_from_slice(part);
            self.body.extend_from_slice(b"\r\n");
        }
        self.body.extend_from_slice(b"0\r\n\r\n");
        self.header("Transfer-Encoding", "chunked")
    }

    /// The head's octets.
    pub fn head(&self) -> Vec<u8> {
        let mut octets = format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        for (name, value) in &self.headers {
            octets.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        octets.extend_from_slice(b"\r\n");
        octets
    }

    /// The body's octets as they go over the wire.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// All octets.
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = self.head();
        octets.extend_from_slice(&self.body);
        octets
    }

    /// Sends it on a connection of its own and reads the answer.
    ///
    /// # Errors
    ///
    /// Nobody listens, or no whole answer comes.
    pub fn try_send(self, address: &Address) -> Result<Response, ClientError> {
        let to_head = self.method == "HEAD";
        let request = self.header("Connection", "close");
        let mut connection = Connection::open(address)?;
        connection.send_meanwhile(request.octets());
        if to_head { Ok(connection.response_to_head()) } else { connection.try_response() }
    }

    /// Sends it on a connection of its own and reads the answer; fails the test when none comes.
    #[track_caller]
    pub fn send(self, address: &Address) -> Response {
        let line = format!("{} {}", self.method, self.target);
        self.try_send(address).unwrap_or_else(|error| panic!("{line} at {address}: {error}"))
    }
}
