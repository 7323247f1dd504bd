//! PEP 3333 paragraph by paragraph: each row names its section and says what is to be seen. The pages look at it from inside, in
//! `tests/wsgi/paragraphs.py`, and answer "ok" or what they found.

use harness::{Address, Connection, Framing, Port, Process, Request, Response, Scratch, servers};

/// What the specification says in a place, and the request that shows it.
struct Case {
    section: &'static str,
    says: &'static str,
    request: fn() -> Request,
    is_so: fn(&Response) -> bool,
}

const fn case(section: &'static str, says: &'static str, request: fn() -> Request) -> Case {
    Case { section, says, request, is_so: is_ok }
}

const fn seen(
    section: &'static str,
    says: &'static str,
    request: fn() -> Request,
    is_so: fn(&Response) -> bool,
) -> Case {
    Case { section, says, request, is_so }
}

fn is_ok(response: &Response) -> bool {
    response.status == 200 && response.body == b"ok"
}

fn is_500(response: &Response) -> bool {
    response.status == 500 && response.body == b"Internal Server Error"
}

fn get(target: &str) -> Request {
    Request::get(target)
}

fn post(target: &str) -> Request {
    Request::post(target, "text/x-own", "one\ntwo\r\nthree")
}

const ENVIRON: &str = "environ Variables";
const STREAMS: &str = "Input and Error Streams";
const START: &str = "The start_response() Callable";
const LENGTH: &str = "Handling the Content-Length Header";
const BUFFERING: &str = "Buffering and Streaming";
const WRITE: &str = "The write() Callable";
const UNICODE: &str = "Unicode Issues";
const ERRORS: &str = "Error Handling";
const OTHER: &str = "Other HTTP Features";
const SIDES: &str = "The Application/Framework Side";
const SPECIFICATION: &str = "Specification Details";
const THREADS: &str = "Thread Support";
const EXTENSIONS: &str = "Server Extension APIs";
const RECONSTRUCTION: &str = "URL Reconstruction";
const FILES: &str = "Optional Platform-Specific File Handling";

const CASES: &[Case] = &[
    case(ENVIRON, "environ is a builtin dictionary", || get("/is_dict")),
    case(ENVIRON, "the application may change it, and the next request does not see it", || get("/modified")),
    case(ENVIRON, "the same again", || get("/modified")),
    case(ENVIRON, "REQUEST_METHOD is never empty", || get("/method_is_text")),
    case(ENVIRON, "REQUEST_METHOD may be any", || Request::new("PROPFIND", "/method")),
    case(ENVIRON, "SCRIPT_NAME is empty for an application at the root", || get("/script_name_is_empty")),
    case(ENVIRON, "SCRIPT_NAME and PATH_INFO part where the application is", || get("/part/mounted/x%20y")),
    case(ENVIRON, "both together are the path", || get("/part/path_is_whole/a")),
    case(ENVIRON, "PATH_INFO begins with a slash where it is not empty", || get("/path_begins_with_slash")),
    case(ENVIRON, "PATH_INFO may be empty for the application's own URL", || get("/part")),
    case(ENVIRON, "and is a slash where there is one", || get("/part/")),
    case(ENVIRON, "QUERY_STRING is empty or absent", || get("/no_query")),
    case(ENVIRON, "QUERY_STRING is as it was sent", || get("/query?a=%20b&c+d=/?")),
    case(ENVIRON, "CONTENT_TYPE is empty or absent", || get("/no_type")),
    case(ENVIRON, "CONTENT_TYPE is the field", || Request::post("/type", "text/x-own", "x")),
    case(ENVIRON, "CONTENT_LENGTH is empty or absent", || get("/no_length")),
    case(ENVIRON, "CONTENT_LENGTH is the field", || Request::post("/length", "text/x-own", "eleven here")),
    case(ENVIRON, "SERVER_NAME and SERVER_PORT are never empty", || get("/server")),
    case(ENVIRON, "SERVER_PROTOCOL is what the client sent: 1.1", || get("/protocol_11")),
    case(ENVIRON, "SERVER_PROTOCOL is what the client sent: 1.0", || get("/protocol_10").version("HTTP/1.0")),
    case(ENVIRON, "HTTP_ variables are the client's fields", || {
        get("/header").header("X-Own-Field", "a value; of=its own")
    }),
    case(ENVIRON, "fields of one name are one variable", || {
        get("/header_twice").header("X-Twice", "one").header("X-Twice", "two")
    }),
    case(ENVIRON, "cookies of several fields stay cookies", || {
        get("/cookie").header("Cookie", "a=1").header("Cookie", "b=2")
    }),
    case(ENVIRON, "an empty field is an empty string", || get("/header_empty").header("X-Empty", "")),
    case(ENVIRON, "CGI variables are native strings, all of them", || get("/values_are_text")),
    case(ENVIRON, "nothing is None", || get("/no_nones")),
    case(ENVIRON, "nobody was authenticated", || get("/no_auth")),
    case(ENVIRON, "wsgi.version is (1, 0)", || get("/version")),
    case(ENVIRON, "wsgi.url_scheme is http", || get("/scheme")),
    case(ENVIRON, "wsgi.multithread, multiprocess and run_once are true or false", || get("/flags")),
    case(EXTENSIONS, "names of the server's own have its name in front", || get("/own_names")),
    case(UNICODE, "names are native strings", || get("/keys_are_text")),
    case(UNICODE, "octets are characters of latin-1", || get("/latin1/%C3%A9").header("X-Latin", "\u{e9}")),
    case(UNICODE, "an octet that is no text at all is one too", || get("/octet/%FF")),
    case(UNICODE, "a character beyond latin-1 is an error in a header", || get("/value_wide")),
    case(UNICODE, "a status of octets is an error", || get("/status_octets")),
    case(UNICODE, "a header's name of octets is an error", || get("/name_octets")),
    seen(UNICODE, "a body is bytes and nothing like it", || get("/bytearray"), is_500),
    case(RECONSTRUCTION, "the algorithm gives the URL that was asked for", || {
        get("/part/url/a%20b?q=%20").host("example.test:81")
    }),
    case(STREAMS, "read() gives everything", || post("/read")),
    case(STREAMS, "read(size) gives so much", || post("/read_size")),
    case(STREAMS, "read(0) gives nothing and takes nothing", || post("/read_zero")),
    case(STREAMS, "read(-1) gives everything", || post("/read_negative")),
    case(STREAMS, "read(None) gives everything", || post("/read_none")),
    case(STREAMS, "reading past the end is the end of a file, whatever the way", || post("/read_end")),
    case(STREAMS, "readline() gives lines with their ends, and the last without", || post("/readline")),
    case(STREAMS, "readline(size) gives no more of a line", || post("/readline_size")),
    case(STREAMS, "readlines() gives all lines", || post("/readlines")),
    case(STREAMS, "readlines(hint) may stop early and loses nothing", || post("/readlines_hint")),
    case(STREAMS, "iterating gives lines", || post("/iterated")),
    case(STREAMS, "the ways to read may be mixed", || post("/mixed")),
    case(STREAMS, "no body reads as the end of a file", || get("/no_body")),
    case(STREAMS, "every octet arrives as it is", || {
        Request::post("/octets", "text/x-own", (0..=255).collect::<Vec<u8>>())
    }),
    case(STREAMS, "lines may be longer than any buffer", || {
        let lines = [vec![b'a'; 70_000], vec![b'\n'], vec![b'b'; 200_000], b"\nend".to_vec()].concat();
        Request::post("/long_lines", "text/x-own", lines)
    }),
    case(STREAMS, "a body that comes in chunks reads like any other", || {
        Request::new("POST", "/chunked").chunked(&[b"one\nt", b"wo\r\nthr", b"ee"])
    }),
    case(STREAMS, "a body need not be read", || Request::post("/unread", "text/x-own", vec![0; 300_000])),
    case(STREAMS, "wsgi.errors takes text by write, writelines and print", || get("/errors")),
    case(START, "it returns write", || get("/returns_write")),
    case(START, "it may be called from within the iterable", || get("/started_in_iterator")),
    seen(
        START,
        "headers keep their order, and their repetitions",
        || get("/headers_in_order"),
        |response| {
            response.headers_named("Set-Cookie") == ["a=1", "b=2"] && response.headers_named("X-A") == ["1", "2"]
        },
    ),
    seen(
        START,
        "the reason is the application's",
        || get("/reason"),
        |response| (response.status, response.reason.as_str()) == (299, "Rather   unusual"),
    ),
    case(START, "headers are a list: no tuple", || get("/headers_tuple")),
    case(START, "headers are a list: no dictionary", || get("/headers_dict")),
    case(START, "a header is a tuple: no list", || get("/header_list")),
    case(START, "a status has no control characters", || get("/status_control")),
    case(START, "a status has no line end", || get("/status_line_end")),
    case(START, "a value has no line end", || get("/value_line_end")),
    case(START, "a value has no control characters", || get("/value_control")),
    case(START, "a name has no colon", || get("/name_colon")),
    case(START, "a second call is an error", || get("/twice")),
    case(START, "a second call with None is an error too", || get("/twice_with_none")),
    case(START, "exc_info in the first call does no harm", || get("/exc_info_first")),
    seen(
        START,
        "exc_info before anything was sent replaces the head",
        || get("/exc_info_replaces"),
        |response| {
            (response.status, response.reason.as_str()) == (500, "Oh no")
                && response.header("X-Old").is_none()
                && response.header("X-New") == Some("1")
                && response.body == b"ok"
        },
    ),
    case(START, "exc_info after the head was sent raises that exception", || get("/exc_info_too_late")),
    seen(
        START,
        "the head waits for the first octet of a body",
        || get("/not_before_body"),
        |response| (response.status, response.text().as_str()) == (503, "ok"),
    ),
    seen(START, "so that what fails before it is a 500", || get("/fails_after_empty"), is_500),
    seen(
        START,
        "Date is the server's where it is missing",
        || get("/one_piece"),
        |response| response.headers_named("Date").len() == 1 && response.headers_named("Server").len() == 1,
    ),
    seen(
        START,
        "Date of the application's own is not repeated",
        || get("/own_date"),
        |response| response.headers_named("Date") == ["Thu, 01 Jan 1970 00:00:00 GMT"],
    ),
    case(OTHER, "hop-by-hop: Connection", || get("/hop_0")),
    case(OTHER, "hop-by-hop: Keep-Alive", || get("/hop_1")),
    case(OTHER, "hop-by-hop: Proxy-Authenticate", || get("/hop_2")),
    case(OTHER, "hop-by-hop: Proxy-Authorization", || get("/hop_3")),
    case(OTHER, "hop-by-hop: TE", || get("/hop_4")),
    case(OTHER, "hop-by-hop: Trailer", || get("/hop_5")),
    case(OTHER, "hop-by-hop: Transfer-Encoding", || get("/hop_6")),
    case(OTHER, "hop-by-hop: Upgrade", || get("/hop_7")),
    seen(
        OTHER,
        "204 has no body, whatever was returned",
        || get("/204"),
        |response| response.status == 204 && response.body.is_empty() && response.header("X-A") == Some("1"),
    ),
    seen(
        OTHER,
        "304 has no body, whatever was returned",
        || get("/304"),
        |response| response.status == 304 && response.body.is_empty(),
    ),
    seen(
        OTHER,
        "HEAD has no body and the head of a GET",
        || Request::new("HEAD", "/one_piece"),
        |response| {
            response.status == 200 && response.body.is_empty() && response.header("Content-Type") == Some("text/plain")
        },
    ),
    case(LENGTH, "a length that is no number is an error", || get("/length_word")),
    case(LENGTH, "two lengths that differ are an error", || get("/length_twice")),
    case(LENGTH, "one piece and no length is whole", || get("/one_piece")),
    seen(
        LENGTH,
        "no piece and no length is whole",
        || get("/nothing"),
        |response| response.status == 200 && response.body.is_empty() && response.framing != Framing::Close,
    ),
    case(LENGTH, "no more than was announced", || get("/length_and_more")),
    seen(
        LENGTH,
        "no length that is known: chunks",
        || get("/generator"),
        |response| {
            is_ok(response) && response.header("Content-Length").is_none() && response.framing == Framing::Chunked
        },
    ),
    seen(
        LENGTH,
        "and to HTTP/1.0 the end of the connection",
        || get("/generator").version("HTTP/1.0"),
        |response| {
            is_ok(response) && response.header("Transfer-Encoding").is_none() && response.framing == Framing::Close
        },
    ),
    case(BUFFERING, "empty pieces end nothing", || get("/generator")),
    case(SPECIFICATION, "whatever Python iterates over will do", || get("/sequence")),
    case(SIDES, "close() is called at the end", || get("/close/whole")),
    case(SIDES, "once", || get("/close/whole?count")),
    seen(
        SIDES,
        "close() is called when there was nothing",
        || get("/close/empty"),
        |response| response.body.is_empty(),
    ),
    case(SIDES, "once", || get("/close/empty?count")),
    seen(SIDES, "close() is called after an error", || get("/close/text"), is_500),
    case(SIDES, "once", || get("/close/text?count")),
    seen(
        SIDES,
        "close() is called after HEAD",
        || Request::new("HEAD", "/close/head"),
        |response| response.status == 200,
    ),
    case(SIDES, "once", || get("/close/head?count")),
    seen(
        SIDES,
        "close() is called where no body may be sent",
        || get("/close/none"),
        |response| response.status == 204,
    ),
    case(SIDES, "once", || get("/close/none?count")),
    case(WRITE, "what was written comes first", || get("/write")),
    case(WRITE, "text is an error", || get("/write_text")),
    seen(
        WRITE,
        "write and iteration are sent in their order",
        || get("/write_in_iteration"),
        |response| response.text() == "ok?!",
    ),
    seen(ERRORS, "an exception is a 500", || get("/raise"), is_500),
    seen(ERRORS, "SystemExit is a 500", || get("/raise_exit"), is_500),
    seen(ERRORS, "KeyboardInterrupt is a 500", || get("/raise_interrupt"), is_500),
    seen(ERRORS, "GeneratorExit is a 500", || get("/raise_generator"), is_500),
    seen(ERRORS, "an exception that cannot be printed is a 500", || get("/raise_unprintable"), is_500),
    seen(FILES, "a file is sent whole", || get("/file"), |response| response.body == b"0123456789".repeat(1000)),
    seen(FILES, "from where it stands", || get("/file_offset"), |response| response.body == b"89"),
    seen(
        FILES,
        "past its end there is nothing",
        || get("/file_past_end"),
        |response| response.status == 200 && response.body.is_empty(),
    ),
    seen(FILES, "as far as Content-Length says", || get("/file_length"), |response| response.body == b"56789"),
    case(FILES, "what is no file is read", || get("/file_memory")),
    case(FILES, "what has read() alone is read", || get("/file_reader")),
    case(FILES, "what has a descriptor in name only is read", || get("/file_misleading")),
    case(FILES, "the wrapper is an iterable of blocks", || get("/file_iterated")),
    case(FILES, "the file is closed with the answer", || get("/file_closed")),
    case(FILES, "once", || get("/file_was_closed")),
];

struct Running {
    process: Process,
    address: Address,
    _port: Port,
    _scratch: Scratch,
}

impl Running {
    fn start() -> Self {
        let scratch = Scratch::new();
        scratch.add_application("paragraphs.py");
        let port = Port::reserve();
        let options = format!(
            "[uwsgi]\nchdir = SCRATCH/app\nmodule = paragraphs\nmount = /part=paragraphs\nmanage-script-name = true\n\
             threads = 2\nhttp-socket = {}\n",
            port.address()
        );
        scratch.write("app.ini", options);
        let process = servers::daemun_app(&scratch, "app.ini", &port.address());
        Self { process, address: port.address(), _port: port, _scratch: scratch }
    }
}

#[test]
fn each_holds() {
    assert!(CASES.len() >= 60);
    let running = Running::start();
    harness::assert_each(CASES, |case| {
        let shown = match (case.request)().try_send(&running.address) {
            Ok(response) if (case.is_so)(&response) => return None,
            Ok(response) => format!("{} {:?}: {}", response.status, response.headers, response.text()),
            Err(error) => error.to_string(),
        };
        Some(format!("{}: {}:\n  {shown}", case.section, case.says))
    });
    let said = running.process.output();
    for line in ["by write", "by writelines, one", "by writelines, twö", "by print"] {
        assert!(said.contains(line), "{STREAMS}: \"{line}\" is not in the log:\n{said}");
    }
    assert!(said.contains("LookupError: as it should"), "{ERRORS}: a traceback is in the log:\n{said}");
}

/// An answer that is not whole does not look whole: nobody can be told any more, so the connection is cut.
#[test]
fn what_breaks_off_is_seen_to() {
    let running = Running::start();
    for (section, target) in [(LENGTH, "/length_and_less"), (ERRORS, "/raise_late"), (SIDES, "/close/late")] {
        let outcome = Request::get(target).try_send(&running.address);
        assert!(outcome.is_err(), "{section}: {target}: {outcome:?}");
    }
    assert!(is_ok(&Request::get("/close/late?count").send(&running.address)), "{SIDES}: closed once");
}

/// "HTTP 1.1 Expect/Continue": the server may answer for the application; the body arrives either way.
#[test]
fn a_client_that_waits_to_be_asked_is_asked() {
    let running = Running::start();
    let request = || post("/read").header("Expect", "100-continue");
    let mut connection = Connection::to(&running.address);
    connection.send(request().head());
    assert_eq!(connection.interim(), 100);
    connection.send(request().body());
    assert!(is_ok(&connection.response()));
}

/// One connection, one answer after the other: whatever an application leaves undone, the next request is read from its beginning.
#[test]
fn what_one_request_leaves_does_not_reach_the_next() {
    let running = Running::start();
    let mut connection = Connection::to(&running.address);
    for target in ["/unread", "/204", "/304", "/length_and_more", "/raise", "/twice", "/nothing", "/file_length"] {
        let response =
            connection.exchange(Request::post(target, "text/x-own", "GET /smuggled HTTP/1.1\r\n\r\n").octets());
        assert_ne!(response.status, 404, "{target}");
        assert!(is_ok(&connection.exchange(Request::get("/one_piece").octets())), "{target}");
    }
}

/// Two requests are in one process at once, and each has objects of its own.
#[test]
fn threads_of_one_process_run_side_by_side() {
    let running = Running::start();
    let mut waiting = [Connection::to(&running.address), Connection::to(&running.address)];
    for connection in &mut waiting {
        connection.send(Request::get("/meet").octets());
    }
    for connection in &mut waiting {
        assert!(is_ok(&connection.response()), "{THREADS}");
    }
}
