//! Clients that ask without a pause, for what must not lose a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::{Address, ClientError, Connection, Request, Response};

/// Clients that ask without a pause: for each target one on a connection that it keeps, and one on a new one each time.
#[derive(Debug)]
pub struct Load {
    is_over: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Begins.
    pub fn start(address: &Address, targets: &[&'static str]) -> Self {
        let (is_over, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = targets.iter().flat_map(|target| [(*target, true), (*target, false)]).map(|(target, keeps)| {
            let (is_over, requests, address) = (Arc::clone(&is_over), Arc::clone(&requests), address.clone());
            thread::spawn(move || ask_on(&address, target, keeps, &is_over, &requests))
        });
        Self { clients: clients.collect(), is_over, requests }
    }

    /// How many requests have been answered, or lost, so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends; how many requests there were, and what was not answered by 200.
    pub fn stop(self) -> (u64, Vec<String>) {
        self.is_over.store(true, Ordering::Relaxed);
        let failures = self.clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
        (self.requests.load(Ordering::Relaxed), failures)
    }
}

fn ask_on(address: &Address, target: &str, keeps: bool, is_over: &AtomicBool, requests: &AtomicU64) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept: Option<Connection> = None;
    while !is_over.load(Ordering::Relaxed) {
        let result = match kept.take().map_or_else(|| Connection::open(address), Ok) {
            Ok(mut connection) => {
                let sent = connection.try_send(&Request::get(target).octets());
                let result = sent.map_err(ClientError::from).and_then(|()| connection.try_response());
                let stays = |response: &Response| response.header("connection") == Some("keep-alive");
                kept = Some(connection).filter(|_| keeps && result.as_ref().is_ok_and(stays));
                result
            }
            Err(error) => Err(ClientError::from(error)),
        };
        requests.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(response) if response.status == 200 => {}
            Ok(response) => failures.push(format!("{target}: {}", response.status)),
            Err(error) => failures.push(format!("{target}: {error:?}")),
        }
    }
    failures
}
