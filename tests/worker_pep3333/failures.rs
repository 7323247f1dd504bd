//! Exceptions and the application's own words: in the log, with the request they belong to, never in the answer.

use std::collections::BTreeSet;

use super::Pages;

#[test]
fn an_exception_is_a_plain_500_and_a_traceback_in_the_log() {
    let mut pages = Pages::start();
    let response = pages.get("/fail");
    assert_eq!((response.status, response.reason.as_str()), (500, "Internal Server Error"));
    assert_eq!(response.text(), "Internal Server Error");
    assert_eq!(response.header("Content-Type"), Some("text/plain"));
    pages.wait_for_log("RuntimeError: the page /fail failed, as it should");
    let log = pages.log();
    assert!(log.contains("Traceback (most recent call last)"), "{log}");
    assert!(log.contains("pep3333.py\", line"), "{log}");
    pages.assert_well();
}

#[test]
fn sys_exit_is_a_plain_500_too() {
    let mut pages = Pages::start();
    assert_eq!(pages.get("/leave").status, 500);
    pages.wait_for_log("an application must not leave");
    pages.assert_well();
}

#[test]
fn a_worker_lives_through_exceptions() {
    let pages = Pages::with("processes = 1");
    let pid = pages.get("/pid").text();
    for _ in 0..20 {
        assert_eq!(pages.get("/fail").status, 500);
    }
    assert_eq!(pages.get("/pid").text(), pid);
}

/// Lines of one request share a word that lines of another do not have: its id.
#[test]
fn what_is_printed_is_logged_with_the_id_of_the_request() {
    let mut pages = Pages::start();
    pages.get("/say?alpha");
    pages.get("/say?omega");
    for word in ["alpha", "omega"] {
        for way in ["print", "stderr", "wsgi.errors"] {
            pages.wait_for_log(&format!("{word} by {way}"));
        }
    }
    let alpha = words_of(&pages.log(), "alpha by ");
    let omega = words_of(&pages.log(), "omega by ");
    let own: BTreeSet<_> = alpha.difference(&omega).collect();
    assert!(!own.is_empty(), "no word tells the lines of the two requests apart:\n{}", pages.log());
}

/// The words that every line with `text` has before it.
fn words_of(log: &str, text: &str) -> BTreeSet<String> {
    let mut shared: Option<BTreeSet<String>> = None;
    for line in log.lines() {
        if let Some((before, _)) = line.split_once(text) {
            let words: BTreeSet<String> =
                before.split([' ', '[', ']', ',', ':', '#', '=']).map(str::to_owned).collect();
            shared = Some(shared.map_or_else(|| words.clone(), |known| known.intersection(&words).cloned().collect()));
        }
    }
    shared.expect("the text was logged")
}
