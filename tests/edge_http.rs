//! HTTP/1 at the edge: connections, framing, limits, and clients that take their time.

mod connections;
mod refusals;
mod slowness;

use harness::{Scratch, Site};

/// One worker behind the edge, so that anything that holds it is noticed.
fn site(server: &str) -> (Scratch, Site) {
    let scratch = Scratch::new();
    let options = "processes = 1\nenv = EVENTS=SCRATCH/events\nenv = GO=SCRATCH/go";
    let site = Site::start(&scratch, server, "pep3333", options);
    (scratch, site)
}
