//! A line for each request on the terminal of whoever writes the application.

use std::io::{IsTerminal, Write};

use daemun_server::phase::Step;
use daemun_server::{LocalFuture, Outcome, Request};

/// Writes `GET /path 200 1234 octets in 5 ms` to standard error, coloured by status where that is a terminal.
///
/// `NO_COLOR` and `CLICOLOR_FORCE` in the environment are obeyed.
pub struct RequestLines {
    is_coloured: bool,
}

impl RequestLines {
    /// By this process's standard error.
    #[must_use]
    pub fn of_this_process() -> Self {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_coloured = !is_set("NO_COLOR") && (is_set("CLICOLOR_FORCE") || std::io::stderr().is_terminal());
        Self { is_coloured }
    }

    fn write(&self, request: &Request) {
        let status = request.sent.status;
        let (colour, plain) = if self.is_coloured { (colour_of(status), PLAIN) } else { ("", "") };
        let method = request.method().as_str();
        // What a client sends must not drive the terminal.
        let target = String::from_utf8_lossy(request.head.target()).escape_debug().to_string();
        let (octets, time) = (request.sent.body_bytes, request.elapsed_ms());
        let line = format!("{colour}{method} {target} {status}{plain} {octets} octets in {time} ms\n");
        // A terminal that is gone is told nothing.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

impl Step for RequestLines {
    fn name(&self) -> &'static str {
        "console"
    }

    fn run(&self, request: &mut Request) -> Option<Outcome> {
        self.write(request);
        Some(Outcome::Continue)
    }

    fn start<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
        self.write(request);
        Box::pin(std::future::ready(Outcome::Continue))
    }
}

fn colour_of(status: u16) -> &'static str {
    match status {
        200..=299 => "\u{1b}[32m",
        300..=399 => "\u{1b}[36m",
        400..=499 => "\u{1b}[33m",
        _ => "\u{1b}[31m",
    }
}

const PLAIN: &str = "\u{1b}[0m";
