//! The four forms of an answer, whole messages (nph), and what is none.

use harness::{Connection, Request, Scratch, Web, wait_until};

use super::{script, site};

/// A program that says `octets`, as printf writes them.
fn says(scratch: &Scratch, name: &str, octets: &str) {
    script(scratch, &format!("cgi/{name}"), &format!("#!/bin/sh\nprintf '{octets}'\n"));
}

#[test]
fn documents_have_status_and_fields() {
    let scratch = Scratch::new();
    says(&scratch, "plain", "Content-Type: text/x\\nX-Own: 1\\n\\nbody");
    says(&scratch, "status", "Status: 418 Short and stout\\r\\nContent-Type: text/x\\r\\n\\r\\nteapot");
    says(&scratch, "length", "Content-Type: text/x\\nContent-Length: 4\\n\\nbody and more");
    says(&scratch, "framed", "Content-Type: text/x\\nConnection: close\\nKeep-Alive: 5\\n\\nbody");
    let web = site(&scratch, "");
    let mut connection = Connection::to(&web.address);
    let mut get = |path: &str| connection.exchange(format!("GET /cgi/{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let plain = get("plain");
    assert_eq!((plain.status, plain.text().as_str(), plain.header("x-own")), (200, "body", Some("1")));
    assert_eq!(plain.header("transfer-encoding"), Some("chunked"));
    let status = get("status");
    assert_eq!((status.status, status.reason.as_str(), status.text().as_str()), (418, "Short and stout", "teapot"));
    let length = get("length");
    assert_eq!((length.text().as_str(), length.header("content-length")), ("body", Some("4")));
    let framed = get("framed");
    assert_eq!((framed.header("keep-alive"), framed.header("connection")), (None, Some("keep-alive")));
    let mut head = Connection::to(&web.address);
    head.send("HEAD /cgi/plain HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.response_to_head().header("content-type"), Some("text/x"));
}

#[test]
fn orders_of_a_program_are_obeyed() {
    let scratch = Scratch::new();
    says(&scratch, "accel", "Content-Type: text/x\\nX-Accel-Redirect: /inner/file\\nX-Lost: 1\\n\\nlost");
    says(&scratch, "rate", "Content-Type: text/x\\nX-Accel-Limit-Rate: 9000000\\nX-Accel-Buffering: no\\n\\nbody");
    scratch.write("root/inner/file", "a file");
    let web = Web::start(&scratch, "root SCRATCH/root; location /inner/ { internal; } location /cgi/ { cgi_pass on; }");
    let get = |path: &str| Request::get(path).send(&web.address);
    let file = get("/cgi/accel");
    assert_eq!((file.status, file.text().as_str(), file.header("content-type")), (200, "a file", Some("text/x")));
    assert_eq!((file.header("x-lost"), get("/inner/file").status), (None, 404));
    let rate = get("/cgi/rate");
    assert_eq!((rate.text().as_str(), rate.header("x-accel-limit-rate")), ("body", None));
}

#[test]
fn a_local_redirect_is_followed_here() {
    let scratch = Scratch::new();
    says(&scratch, "local", "Location: /page%%20a.txt?x=1\\n\\n");
    says(&scratch, "again", "Location: /cgi/print/info?y=2\\n\\n");
    says(&scratch, "loop", "Location: /cgi/loop\\n\\n");
    says(&scratch, "client", "Location: http://other.example/\\n\\n");
    says(&scratch, "other", "Location: //other.example/\\n\\n");
    says(&scratch, "told", "Status: 303 See Other\\nLocation: /page.txt\\n\\n");
    says(&scratch, "outside", "Location: /../../etc/passwd\\n\\n");
    let print = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n\
        echo \"$REQUEST_METHOD $SCRIPT_NAME $PATH_INFO $QUERY_STRING $CONTENT_LENGTH\"\nwc -c\n";
    script(&scratch, "cgi/print", print);
    scratch.write("root/page a.txt", "a page");
    let web = site(&scratch, "");
    let get = |path: &str| Request::get(path).send(&web.address);
    let local = get("/cgi/local");
    assert_eq!((local.status, local.text().as_str(), local.header("location")), (200, "a page", None));
    let posted = Request::post("/cgi/again", "text/x", "a body").send(&web.address);
    assert_eq!(posted.text(), "GET /cgi/print /info y=2 \n0\n", "as a GET without the body");
    assert_eq!(get("/cgi/loop").status, 500);
    for (path, status, location) in [
        ("/cgi/client", 302, "http://other.example/"),
        ("/cgi/other", 302, "//other.example/"),
        ("/cgi/told", 303, "/page.txt"),
    ] {
        let response = get(path);
        assert_eq!((response.status, response.header("location")), (status, Some(location)), "{path}");
    }
    assert_eq!(get("/cgi/outside").status, 502);
}

#[test]
fn a_whole_message_goes_out_as_it_is() {
    let scratch = Scratch::new();
    says(&scratch, "nph-good", "HTTP/1.1 203 Mine\\r\\nServer: own\\r\\nX-Own: 1\\r\\n\\r\\nbody");
    says(&scratch, "nph-cgi", "Content-Type: text/plain\\n\\nbody");
    says(&scratch, "nph-local", "HTTP/1.0 302 Found\\r\\nLocation: /elsewhere\\r\\n\\r\\n");
    let web = site(&scratch, "");
    let good = Request::get("/cgi/nph-good").send(&web.address);
    assert_eq!((good.status, good.reason.as_str(), good.text().as_str()), (203, "Mine", "body"));
    assert_eq!((good.header("server"), good.header("x-own")), (Some("own"), Some("1")));
    assert_eq!(Request::get("/cgi/nph-local").send(&web.address).header("location"), Some("/elsewhere"));
    assert_eq!(Request::get("/cgi/nph-cgi").send(&web.address).status, 502);
}

#[test]
fn what_is_no_answer_is_a_502_and_in_the_log() {
    let scratch = Scratch::new();
    for (name, octets, log) in [
        ("nothing", "", "CGI script exited with code 0 before its response header was complete"),
        ("half", "Content-Type: text/x\\n", "before its response header was complete"),
        ("prose", "Hello, this is no header\\n\\n", "invalid header: \\\"Hello, this is no header\\\""),
        ("bad-status", "Status: many\\n\\n", "invalid status"),
        ("interim", "Status: 101 Switching\\n\\n", "which is no final answer"),
        ("large", "X: %09000d\\n\\n", "too big header"),
        ("two", "Content-Length: 1\\nContent-Length: 2\\n\\nab", "duplicate header line"),
    ] {
        says(&scratch, name, octets);
        let web = site(&scratch, "");
        assert_eq!(Request::get(&format!("/cgi/{name}")).send(&web.address).status, 502, "{name}");
        let log = log.replace("\\\"", "\"");
        assert!(scratch.read("error.log").contains(&log), "{name}: {}", scratch.read("error.log"));
    }
    script(&scratch, "cgi/fails", "#!/bin/sh\necho 'a reason' >&2\necho >&2\nprintf 'the end' >&2\nexit 7\n");
    script(&scratch, "cgi/lost", "#!/no/such/interpreter\n");
    let web = site(&scratch, "");
    assert_eq!(Request::get("/cgi/fails").send(&web.address).status, 502);
    assert_eq!(Request::get("/cgi/lost").send(&web.address).status, 500);
    let log = scratch.read("error.log");
    for text in
        ["CGI script sent in stderr: \"a reason\"", "CGI script sent in stderr: \"the end\"", "exited with code 7"]
    {
        assert!(log.contains(text), "{text} in {log}");
    }
    assert!(log.contains("/cgi/lost\" failed (No such file"), "{log}");
}

/// An answer shorter than it says is not made to look whole.
#[test]
fn an_answer_that_breaks_off_is_cut() {
    let scratch = Scratch::new();
    says(&scratch, "short", "Content-Type: text/x\\nContent-Length: 100\\n\\nbody");
    let web = site(&scratch, "");
    let mut connection = Connection::to(&web.address);
    connection.send("GET /cgi/short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(connection.try_response().is_err());
    wait_until("it is in the log", || {
        scratch.read("error.log").contains("CGI script ended in the middle of its answer")
    });
}

#[test]
fn error_pages_may_stand_for_a_program_that_fails() {
    let scratch = Scratch::new();
    says(&scratch, "nothing", "");
    scratch.write("root/sorry.html", "sorry");
    let web = site(&scratch, "error_page 502 /sorry.html;");
    let response = Request::get("/cgi/nothing").send(&web.address);
    assert_eq!((response.status, response.text().as_str()), (502, "sorry"));
}
