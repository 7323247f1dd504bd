//! A name server whose answers the test changes as it goes.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A record: its type and its data.
type Record = (u16, Vec<u8>);

/// What is said of a name.
#[derive(Clone, Debug, Default)]
struct Said {
    code: u8,
    records: Vec<Record>,
}

/// A running name server. What it was not told of does not exist.
pub struct NameServer {
    address: String,
    said: Arc<Mutex<HashMap<String, Said>>>,
    questions: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts one on a port of its own.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address").to_string();
        let said = Arc::new(Mutex::new(HashMap::new()));
        let questions = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (known, count, over) = (Arc::clone(&said), Arc::clone(&questions), Arc::clone(&is_over));
        let answering = thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let answer = answer(&buffer[..length], &known.lock().expect("nobody panics with it"));
                count.fetch_add(1, Ordering::SeqCst);
                let _ = socket.send_to(&answer, client);
            }
        });
        Self { address, said, questions, is_over, answering: Some(answering) }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Questions so far.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }

    /// From now on `name` stands for these addresses.
    pub fn addresses(&self, name: &str, addresses: &[&str]) {
        let record = |text: &&str| match text.parse().expect("an address") {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (28, address.octets().to_vec()),
        };
        self.say(name, Said { code: 0, records: addresses.iter().map(record).collect() });
    }

    /// From now on the service `name` is offered by these hosts: priority, weight, port, name.
    pub fn services(&self, name: &str, hosts: &[(u16, u16, u16, &str)]) {
        let record = |(priority, weight, port, host): &(u16, u16, u16, &str)| {
            let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|word| word.to_be_bytes()).collect();
            data.extend(name_octets(host));
            (33, data)
        };
        self.say(name, Said { code: 0, records: hosts.iter().map(record).collect() });
    }

    /// From now on `name` is answered with an error: 2 for a failure, 3 for a name that does not exist.
    pub fn fail(&self, name: &str, code: u8) {
        self.say(name, Said { code, records: Vec::new() });
    }

    fn say(&self, name: &str, said: Said) {
        self.said.lock().expect("nobody panics with it").insert(name.to_owned(), said);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[0], &self.address);
        }
        if let Some(answering) = self.answering.take() {
            let _ = answering.join();
        }
    }
}

fn name_octets(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).expect("a short label"));
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

/// Answers one question; what is none is not.
fn answer(question: &[u8], said: &HashMap<String, Said>) -> Vec<u8> {
    let mut name = String::new();
    let mut at = 12;
    while let Some(length) = question.get(at).copied().map(usize::from).filter(|length| *length > 0) {
        let label = question.get(at + 1..at + 1 + length).unwrap_or_default();
        name = if name.is_empty() { String::new() } else { name + "." } + &String::from_utf8_lossy(label);
        at += 1 + length;
    }
    let end = at + 5;
    let (Some(id), Some(asked), Some(kind)) = (question.get(..2), question.get(12..end), question.get(at + 1..at + 3))
    else {
        return Vec::new();
    };
    let kind = u16::from_be_bytes([kind[0], kind[1]]);
    let unknown = Said { code: 3, records: Vec::new() };
    let said = said.get(&name).unwrap_or(&unknown);
    let records: Vec<_> = said.records.iter().filter(|(other, _)| *other == kind).collect();
    let count = u8::try_from(records.len()).expect("few records");
    let mut answer = [id, &[0x81, 0x80 | said.code, 0, 1, 0, count, 0, 0, 0, 0], asked].concat();
    for (kind, data) in records {
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 1]);
        answer.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
        answer.extend(data);
    }
    answer
}
