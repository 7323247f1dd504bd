//! Answers that are kept: what nginx keeps and for how long, one request for many, what survives, and what is let go.

mod application;
mod keeping;
mod protocols;
mod slices;
mod staleness;
mod survival;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Address, Backend, Request, Response, Scratch, Web};

/// A server whose answers are numbered; `answer` makes one of the request's head and the number.
struct Numbered {
    backend: Backend,
    count: Arc<AtomicUsize>,
}

impl Numbered {
    fn answering(answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let backend = Backend::answering(move |head| answer(head, counted.fetch_add(1, Ordering::SeqCst) + 1));
        Self { backend, count }
    }

    /// Every answer is its number, and has `fields`.
    fn with_fields(fields: &'static str) -> Self {
        Self::answering(move |_, number| answer(fields, &number.to_string()))
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// A web server before it, with `settings` in its only location.
    fn front(&self, scratch: &Scratch, path: &str, settings: &str) -> Web {
        let http = format!("    proxy_cache_path SCRATCH/cache {path};\n");
        let location = format!(
            "location / {{ proxy_pass http://{}; proxy_cache one; add_header X-Status $upstream_cache_status always; {settings} }}",
            self.backend.address()
        );
        Web::start_in(scratch, &http, &location)
    }
}

fn answer(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// `STATUS body`, as the variable has it.
fn seen(response: &Response) -> String {
    format!("{} {}", response.header("X-Status").unwrap_or("-"), response.text())
}

fn get(address: &Address, target: &str) -> String {
    seen(&Request::get(target).send(address))
}

/// Files of the cache, wherever they lie in it.
fn files(scratch: &Scratch) -> Vec<std::path::PathBuf> {
    fn below(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => below(&entry.path(), found),
                _ => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    below(&scratch.path("cache"), &mut found);
    found
}
