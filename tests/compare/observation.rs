//! What is seen of a case, and what of it counts when two servers are compared.
//!
//! Aside are left: `Date`, `Server`, `Connection`; the order of headers of different names; the client-side port and the number
//! of the listening one; the random boundary of multipart ranges; the program's name at the foot of its own error pages.

use std::fmt::Write as _;

use harness::{Address, Connection, Framing, Response};

use super::cases::{Case, Step};

/// One thing the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    Interim(u16),
    Answer(Answer),
    Closed,
    Failed(String),
}

/// An answer without what may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    version: String,
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    framing: Framing,
    body: String,
}

impl Observed {
    /// The status of an answer that is not interim.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(answer) => Some(answer.status),
            _ => None,
        }
    }
}

impl Observed {
    /// The same with a line of its body replaced, `(old, new)`, and the length told accordingly.
    pub(super) fn with_line(&self, (old, new): (&str, &str)) -> Self {
        let mut renewed = self.clone();
        if let Self::Answer(answer) = &mut renewed {
            let before = answer.body.len();
            answer.body = answer.body.replace(old, new);
            for (_, value) in answer.headers.iter_mut().filter(|(name, _)| name == "content-length") {
                // Not the body's length itself: the port's place holder has another one than the port.
                let told: usize = value.parse().expect("a number");
                *value = (told + answer.body.len() - before).to_string();
            }
        }
        renewed
    }
}

/// Plays the case on one connection.
pub(super) fn observe(address: &Address, case: &Case) -> Vec<Observed> {
    let mut connection = Connection::to(address);
    let mut seen = Vec::new();
    for step in &case.steps {
        let observed = match step {
            Step::Send(octets) => {
                connection.send_meanwhile(octets.clone());
                continue;
            }
            Step::Interim => Observed::Interim(connection.interim()),
            Step::Answer => answered(connection.try_response(), address),
            Step::AnswerToHead => Observed::Answer(counted(connection.response_to_head(), address)),
            Step::Closed if connection.rest().is_empty() => Observed::Closed,
            Step::Closed => Observed::Failed("octets where the close was due".to_owned()),
        };
        seen.push(observed);
    }
    seen
}

/// The first difference of two observations, for a reader.
pub(super) fn difference(expected: &[Observed], seen: &[Observed]) -> Option<String> {
    let (expected, seen) = expected.iter().zip(seen).find(|(expected, seen)| expected != seen)?;
    let (Observed::Answer(expected), Observed::Answer(seen)) = (expected, seen) else {
        return Some(format!("  reference {expected:?}\n  daemun    {seen:?}"));
    };
    let mut text = String::new();
    for (line, other) in [(expected.lines(), '-'), (seen.lines(), '+')] {
        let opposite = if other == '-' { seen.lines() } else { expected.lines() };
        for line in line.iter().filter(|line| !opposite.contains(line)) {
            let shown: String = line.chars().take(400).collect();
            writeln!(text, "  {other} {shown}").expect("a string takes everything");
        }
    }
    Some(text)
}

fn answered(outcome: Result<Response, harness::ClientError>, address: &Address) -> Observed {
    match outcome {
        Ok(response) => Observed::Answer(counted(response, address)),
        Err(error) => {
            let text = error.to_string();
            Observed::Failed(text.split(':').next().unwrap_or_default().to_owned())
        }
    }
}

fn counted(response: Response, address: &Address) -> Answer {
    let Address::Tcp(address) = address else { panic!("web servers are asked by TCP") };
    let port = address.port().to_string();
    let boundary = boundary_of(&response);
    let mut body: String = response.body.iter().map(|&octet| char::from(octet)).collect();
    let is_own_page = body.contains("<hr><center>");
    if is_own_page {
        body = body.replace("<center>nginx</center>", "<center>PROGRAM</center>");
        body = body.replace("<center>daemun</center>", "<center>PROGRAM</center>");
    }
    body = body.replace(&format!("'SERVER_PORT'='{port}'"), "'SERVER_PORT'='PORT'");
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in &response.headers {
        let name = name.to_ascii_lowercase();
        let is_aside =
            matches!(name.as_str(), "date" | "server" | "connection") || (is_own_page && name == "content-length");
        if !is_aside {
            headers.push((name, value.replace(&format!(":{port}"), ":PORT")));
        }
    }
    if let Some(boundary) = boundary {
        body = body.replace(&boundary, "BOUNDARY");
        headers.iter_mut().for_each(|(_, value)| *value = value.replace(&boundary, "BOUNDARY"));
        // nginx's boundary is 20 digits; another length is no error.
        headers.retain(|(name, _)| name != "content-length");
    }
    headers.sort_by(|(one, _), (other, _)| one.cmp(other)); // stable: repeated ones keep their order
    Answer {
        version: response.version,
        status: response.status,
        reason: response.reason,
        headers,
        framing: response.framing,
        body,
    }
}

fn boundary_of(response: &Response) -> Option<String> {
    let content_type = response.header("Content-Type")?;
    content_type.strip_prefix("multipart/byteranges; boundary=").map(str::to_owned)
}

impl Answer {
    fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("{} {} {}", self.version, self.status, self.reason), format!("framing {:?}", self.framing)];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.push(format!("body of {} octets", self.body.len()));
        lines.extend(self.body.lines().take(200).map(str::to_owned));
        lines
    }
}
