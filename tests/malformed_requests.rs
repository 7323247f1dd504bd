//! Malformed requests: each is refused with its status, the connection closed, and no handler hears of it or of what follows it.

mod corpus;
mod table;

use harness::{Address, Backend, Connection, Request, Scratch, Web, assert_each, wait_until};

/// What follows each request, and would be another request to whoever read the first one differently.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A server in front of another one, which counts those who come; requests and their bodies are read whole before they are passed on.
struct Edge {
    scratch: Scratch,
    web: Web,
    backend: Backend,
    worker: String,
}

impl Edge {
    fn start() -> Self {
        let scratch = Scratch::new();
        let backend = Backend::start("heard");
        let server = format!(
            "access_log SCRATCH/status.log status;
            location / {{ proxy_pass http://{}; proxy_ignore_client_abort on; }}
            location = /worker {{ access_log off; return 200 $pid; }}
            location = /proof {{ access_log off; proxy_pass http://{}/; }}",
            backend.address(),
            backend.address()
        );
        let web = Web::start_in(&scratch, "log_format status \"$status\";", &server);
        let worker = Request::get("/worker").send(&web.address).text();
        Self { scratch, web, backend, worker }
    }

    fn address(&self) -> &Address {
        &self.web.address
    }

    /// The process is the same, every logged status is an error, and only now the server behind hears something.
    #[track_caller]
    fn assert_unharmed(&self, logged: usize) {
        assert_eq!(self.backend.connections(), 0, "a malformed request was passed on");
        assert_eq!(Request::get("/worker").send(self.address()).text(), self.worker, "another process answers");
        assert_eq!(Request::get("/proof").send(self.address()).text(), "heard");
        assert_eq!(self.backend.connections(), 1);
        wait_until("every request is logged", || self.scratch.read("status.log").lines().count() >= logged);
        let log = self.scratch.read("status.log");
        assert!(log.lines().all(|status| status >= "400"), "{log}");
        assert!(self.scratch.read("error.log").lines().all(|line| !line.contains("panicked")));
    }
}

/// Sends `octets`; what comes back until the server closes. A server that closes before it has read all is no error.
fn answer_to(address: &Address, octets: &[u8], is_all: bool) -> Result<String, String> {
    let mut connection = Connection::open(address).map_err(|error| error.to_string())?;
    connection.try_send(octets).ok();
    if is_all {
        connection.finish_sending();
    }
    let answer = connection.try_rest().map_err(|error| format!("not closed: {error}"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What is wrong with an answer that should refuse with `status`, and be the only one.
fn disagreement(answer: &str, status: u16) -> Option<String> {
    let begins_right = answer.starts_with(&format!("HTTP/1.1 {status} "));
    let answers = answer.matches("HTTP/1.").count();
    (!begins_right || answers != 1).then(|| format!("{status} is due, {answers} answers: {answer:.60?}"))
}

#[test]
fn malformed_requests_are_refused() {
    let edge = Edge::start();
    let cases = table::cases();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    assert_each(&cases, |case| {
        let octets = format!("{}{SMUGGLED}", case.text);
        let outcome = answer_to(edge.address(), octets.as_bytes(), false);
        let wrong = outcome.map_or_else(Some, |answer| disagreement(&answer, case.status));
        wrong.map(|wrong| format!("{:.120?}: {wrong}", case.text))
    });
    edge.assert_unharmed(cases.len());
}

/// The templates are what makes the cases wrong only where they are meant to be.
#[test]
fn malformed_requests_have_sound_surroundings() {
    let edge = Edge::start();
    assert_each(&table::sound(), |text| {
        let octets = format!("{text}{SMUGGLED}");
        let answer = answer_to(edge.address(), octets.as_bytes(), false).unwrap_or_else(|error| error);
        (answer.matches("HTTP/1.1 200 ").count() != 2).then(|| format!("{text:?}: {answer}"))
    });
}

#[test]
fn malformed_requests_of_gunicorn_are_refused() {
    let edge = Edge::start();
    let requests = corpus::requests();
    println!("{} requests of Gunicorn's corpus must be refused", requests.len());
    assert!(requests.len() >= 62, "{} requests", requests.len());
    assert_each(&requests, |(name, octets)| {
        let answer = match answer_to(edge.address(), octets, true) {
            Ok(answer) => answer,
            Err(error) => return Some(format!("{name}: {error}")),
        };
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5");
        (!is_refused || answer.matches("HTTP/1.").count() > 1).then(|| format!("{name}: {answer:.60?}"))
    });
    edge.assert_unharmed(0);
}
