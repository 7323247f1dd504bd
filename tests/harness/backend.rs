//! A server behind the one under test: answers every request with its name, over HTTP or the uwsgi protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::Port;

/// What becomes of a request: its head, as it came, to the octets of the answer; the connection is closed after an answer without
/// `Content-Length`, and without any answer where it is empty.
/// An answer with `X-Then: close` is followed by the connection's end, whatever its length says.
pub type Answer = dyn Fn(&str) -> String + Send + Sync;

/// A running server.
pub struct Backend {
    address: SocketAddr,
    _port: Option<Port>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Backend {
    /// Answers with status 200 and `name` in the body.
    pub fn start(name: &str) -> Self {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        Self::answering(move |_| answer.clone())
    }

    /// The same with `name` on the same port of another address of this host.
    pub fn beside(&self, ip: [u8; 4], name: &str) -> Self {
        let address = SocketAddr::from((ip, self.address.port()));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        Self::listening(address, None, move |_| answer.clone())
    }

    /// Answers as `answer` says.
    pub fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let port = Port::reserve();
        Self::listening(SocketAddr::from((Ipv4Addr::LOCALHOST, port.number())), Some(port), answer)
    }

    fn listening(
        address: SocketAddr,
        port: Option<Port>,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the port is free");
        let connections = Arc::new(AtomicUsize::new(0));
        let open = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (count, over, opened) = (Arc::clone(&connections), Arc::clone(&is_over), Arc::clone(&open));
        let answer: Arc<Answer> = Arc::new(answer);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, opened) = (Arc::clone(&answer), Arc::clone(&opened));
                if let Ok(stream) = stream {
                    opened.fetch_add(1, Ordering::SeqCst);
                    thread::spawn(move || {
                        serve(stream, &*answer);
                        opened.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Self { address, _port: port, connections, open, is_over, accepting: Some(accepting) }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(mut stream: TcpStream, answer: &Answer) {
    let mut octets = Vec::new();
    while let Some(head) = next_head(&mut stream, &mut octets) {
        let text = answer(&head);
        let is_last = !text.contains("Content-Length:") || text.contains("X-Then: close");
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
        if is_last {
            // Our end is closed; the connection is open until the other end is, too.
            let _ = stream.shutdown(Shutdown::Write);
            while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
            return;
        }
    }
}

/// One request's head: the lines of HTTP, or the variables of a uwsgi packet. Bodies are none.
fn next_head(stream: &mut TcpStream, octets: &mut Vec<u8>) -> Option<String> {
    loop {
        let end = match octets.first() {
            // A packet's modifier; no HTTP method begins with it.
            Some(0) if octets.len() >= 4 => Some(4 + usize::from(u16::from_le_bytes([octets[1], octets[2]]))),
            Some(0) | None => None,
            Some(_) => octets.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4),
        };
        if let Some(end) = end.filter(|end| *end <= octets.len()) {
            return Some(String::from_utf8_lossy(&octets.drain(..end).collect::<Vec<_>>()).into_owned());
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => octets.extend_from_slice(&buffer[..count]),
        }
    }
}
