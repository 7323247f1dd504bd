//! The same requests against nginx + uWSGI and against every pair in which daemun takes one part or both.
//!
//! Status, headers and body must be the same; [`observation`] says what is left aside. The application echoes its environ, so
//! that what a worker sees is compared as well.

mod cases;
mod observation;
mod pair;

use harness::{Port, Process, Scratch, servers};

use cases::Case;
use observation::{Observed, difference, observe};
use pair::Pair;

/// The reference against a second one: what differs here is noise of the comparison itself.
#[test]
fn reference_equals_itself() {
    compare(|scratch| Pair::nginx_and_uwsgi(scratch, "second"));
}

#[test]
fn daemun_web_with_uwsgi_by_unix_socket() {
    compare(Pair::daemun_web_and_uwsgi_by_unix_socket);
}

#[test]
fn daemun_web_with_uwsgi_by_tcp() {
    compare(Pair::daemun_web_and_uwsgi_by_tcp);
}

#[test]
fn nginx_with_daemun_app_by_unix_socket() {
    compare(Pair::nginx_and_daemun_app);
}

#[test]
fn daemun_run_for_both() {
    compare(Pair::daemun_run);
}

fn compare(subject: impl FnOnce(&Scratch) -> Pair) {
    let scratch = Scratch::new();
    pair::write_site(&scratch);
    let reference = Pair::nginx_and_uwsgi(&scratch, "reference");
    let subject = subject(&scratch);
    let cases = cases::all();
    assert!(cases.len() >= 35, "the issue asks for the same 30 or more requests");

    let mut failures = Vec::new();
    for case in &cases {
        let expected = observe(&reference.address, case);
        failures.extend(wrong_reference(case, &expected));
        let seen = observe(&subject.address, case);
        if let Some(difference) = difference(&expected, &seen)
            && !is_joined(case, &expected, &seen)
        {
            failures.push(format!("{}:\n{difference}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {} requests differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Whether the only difference is the one between nginx before 1.23 and after.
fn is_joined(case: &Case, expected: &[Observed], seen: &[Observed]) -> bool {
    let Some(lines) = case.joined else { return false };
    let renewed: Vec<Observed> = expected.iter().map(|observed| observed.with_line(lines)).collect();
    difference(&renewed, seen).is_none()
}

/// A case that compares two failures would prove nothing.
fn wrong_reference(case: &Case, expected: &[Observed]) -> Option<String> {
    let statuses: Vec<u16> = expected.iter().filter_map(Observed::status).collect();
    let failed = expected.iter().any(|observed| matches!(observed, Observed::Failed(_)));
    let is_right = statuses == case.statuses && !failed;
    (!is_right).then(|| format!("{}: the reference answered otherwise than the table says: {expected:?}", case.name))
}
