"""One page for each thing that a paragraph of PEP 3333 says. A page looks at it from inside and answers "ok", or says what it found."""

import io
import os
import sys
import tempfile
import threading

TEXT = [("Content-Type", "text/plain")]
CLOSED = {}


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/").split("/")[0] or "root"
    return globals()["page_" + name](environ, start_response)


def answer(start_response, problem=None, status="200 OK"):
    start_response(status, list(TEXT))
    return [b"ok" if not problem else repr(problem).encode("utf-8", "backslashreplace")]


def check(condition):
    """A page that finds a condition of environ to be true."""
    def page(environ, start_response):
        held = condition(environ)
        return answer(start_response, None if held is True else (held, sorted(environ.items(), key=str)))
    return page


# -- environ

page_is_dict = check(lambda e: type(e) is dict)
page_method_is_text = check(lambda e: type(e["REQUEST_METHOD"]) is str and e["REQUEST_METHOD"] != "")
page_method = check(lambda e: e["REQUEST_METHOD"] == "PROPFIND")
page_root = check(lambda e: (e["SCRIPT_NAME"], e["PATH_INFO"]) in (("", "/"), ("/part", ""), ("/part", "/")))
page_script_name_is_empty = check(lambda e: e["SCRIPT_NAME"] == "")
page_mounted = check(lambda e: (e["SCRIPT_NAME"], e["PATH_INFO"]) == ("/part", "/mounted/x y"))
page_path_is_whole = check(lambda e: e["SCRIPT_NAME"] + e["PATH_INFO"] == "/part/path_is_whole/a")
page_path_begins_with_slash = check(lambda e: e["PATH_INFO"].startswith("/") and not e["SCRIPT_NAME"].endswith("/"))
page_no_query = check(lambda e: e.get("QUERY_STRING", "") == "")
page_query = check(lambda e: e["QUERY_STRING"] == "a=%20b&c+d=/?")
page_no_type = check(lambda e: e.get("CONTENT_TYPE", "") == "")
page_no_length = check(lambda e: e.get("CONTENT_LENGTH", "") == "")
page_type = check(lambda e: e["CONTENT_TYPE"] == "text/x-own" and "HTTP_CONTENT_TYPE" not in e)
page_length = check(lambda e: e["CONTENT_LENGTH"] == "11" and "HTTP_CONTENT_LENGTH" not in e)
page_server = check(lambda e: bool(e["SERVER_NAME"]) and e["SERVER_PORT"].isdigit())
page_protocol_10 = check(lambda e: e["SERVER_PROTOCOL"] == "HTTP/1.0")
page_protocol_11 = check(lambda e: e["SERVER_PROTOCOL"] == "HTTP/1.1")
page_header = check(lambda e: e["HTTP_X_OWN_FIELD"] == "a value; of=its own")
page_header_twice = check(lambda e: e["HTTP_X_TWICE"] in ("one, two", "one,two"))
page_cookie = check(lambda e: e["HTTP_COOKIE"] == "a=1; b=2")
page_header_empty = check(lambda e: e["HTTP_X_EMPTY"] == "")
page_values_are_text = check(lambda e: all(type(e[k]) is str for k in e if "." not in k))
page_keys_are_text = check(lambda e: all(type(k) is str for k in e))
page_latin1 = check(lambda e: e["HTTP_X_LATIN"] == "\xc3\xa9" and e["PATH_INFO"] == "/latin1/\xc3\xa9")
page_octet = check(lambda e: e["PATH_INFO"] == "/octet/\xff")
page_no_nones = check(lambda e: None not in e.values())
page_version = check(lambda e: e["wsgi.version"] == (1, 0) and type(e["wsgi.version"]) is tuple)
page_scheme = check(lambda e: e["wsgi.url_scheme"] == "http")
page_flags = check(lambda e: [e["wsgi." + f] for f in ("multithread", "multiprocess", "run_once")] == [True, False, False])
page_no_auth = check(lambda e: "REMOTE_USER" not in e)
page_own_names = check(lambda e: not any(k for k in e if "." in k and not k.startswith(("wsgi.", "uwsgi.", "daemun."))))


def page_modified(environ, start_response):
    seen = environ.get("paragraphs.mark")
    environ["paragraphs.mark"] = "seen"
    environ["HTTP_HOST"] = "changed"
    del environ["SERVER_NAME"]
    return answer(start_response, seen)


def page_url(environ, start_response):
    """The algorithm of the section "URL Reconstruction"."""
    from urllib.parse import quote
    url = environ["wsgi.url_scheme"] + "://"
    if environ.get("HTTP_HOST"):
        url += environ["HTTP_HOST"]
    else:
        url += environ["SERVER_NAME"]
        if environ["SERVER_PORT"] != "80":
            url += ":" + environ["SERVER_PORT"]
    url += quote(environ.get("SCRIPT_NAME", ""), encoding="latin-1") + quote(environ.get("PATH_INFO", ""), encoding="latin-1")
    if environ.get("QUERY_STRING"):
        url += "?" + environ["QUERY_STRING"]
    return answer(start_response, None if url == "http://example.test:81/part/url/a%20b?q=%20" else url)


# -- wsgi.input and wsgi.errors

def reading(way, expected):
    def page(environ, start_response):
        found = way(environ["wsgi.input"])
        return answer(start_response, None if found == expected else found)
    return page


THREE = b"one\ntwo\r\nthree"
page_read = reading(lambda i: i.read(), THREE)
page_read_size = reading(lambda i: [i.read(2), i.read(3), i.read(100)], [b"on", b"e\nt", b"wo\r\nthree"])
page_read_zero = reading(lambda i: [i.read(0), i.read()], [b"", THREE])
page_read_negative = reading(lambda i: i.read(-1), THREE)
page_read_none = reading(lambda i: i.read(None), THREE)
page_read_end = reading(lambda i: [i.read(), i.read(), i.read(10), i.readline(), i.readlines(), list(i)], [THREE, b"", b"", b"", [], []])
page_readline = reading(lambda i: [i.readline() for _ in range(4)], [b"one\n", b"two\r\n", b"three", b""])
page_readline_size = reading(lambda i: [i.readline(2), i.readline(100), i.readline(0), i.readline(5)], [b"on", b"e\n", b"", b"two\r\n"])
page_readlines = reading(lambda i: i.readlines(), [b"one\n", b"two\r\n", b"three"])
page_readlines_hint = reading(lambda i: b"".join(i.readlines(1) + i.readlines()), THREE)
page_iterated = reading(list, [b"one\n", b"two\r\n", b"three"])
page_mixed = reading(lambda i: [i.readline(), i.read(2), next(iter(i)), i.read()], [b"one\n", b"tw", b"o\r\n", b"three"])
page_no_body = reading(lambda i: [i.read(), i.readline(), list(i)], [b"", b"", []])
page_octets = reading(lambda i: i.read(), bytes(range(256)))
page_long_lines = reading(lambda i: [len(line) for line in i], [70001, 200001, 3])


def page_chunked(environ, start_response):
    body = environ["wsgi.input"].read()
    known = environ.get("CONTENT_LENGTH") == str(len(body)) or environ.get("wsgi.input_terminated") is True
    return answer(start_response, None if body == THREE and known else (body, known))


def page_unread(environ, start_response):
    return answer(start_response)


def page_errors(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("by write\n")
    errors.writelines(["by writelines, one\n", "by writelines, tw\xf6\n"])
    errors.flush()
    print("by print", file=errors)
    return answer(start_response)


# -- start_response

def page_returns_write(environ, start_response):
    write = start_response("200 OK", list(TEXT))
    return [b"ok" if callable(write) else b"not callable"]


def page_headers_in_order(environ, start_response):
    start_response("200 OK", TEXT + [("Set-Cookie", "a=1"), ("X-A", "1"), ("Set-Cookie", "b=2"), ("X-A", "2")])
    return [b"ok"]


def page_reason(environ, start_response):
    return answer(start_response, status="299 Rather   unusual")


def refused(*arguments):
    """A page that finds its head refused while it is there to hear it, and answers with a right one."""
    def page(environ, start_response):
        try:
            start_response(*arguments)
        except (TypeError, ValueError, AssertionError):
            return answer(start_response)
        return [b"it was taken"]
    return page


page_headers_tuple = refused("200 OK", tuple(TEXT))
page_headers_dict = refused("200 OK", dict(TEXT))
page_header_list = refused("200 OK", [["X-A", "1"]])
page_status_control = refused("200 OK\t\x07", TEXT)
page_status_line_end = refused("200 OK\n", TEXT)
page_status_octets = refused(b"200 OK", TEXT)
page_name_octets = refused("200 OK", [(b"X-A", "1")])
page_value_line_end = refused("200 OK", [("X-A", "1\r\n")])
page_value_control = refused("200 OK", [("X-A", "1\x01")])
page_value_wide = refused("200 OK", [("X-A", "\u20ac")])
page_name_colon = refused("200 OK", [("X-A:", "1")])
page_length_word = refused("200 OK", [("Content-Length", "many")])
page_length_twice = refused("200 OK", [("Content-Length", "2"), ("Content-Length", "3")])
for number, field in enumerate(("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade")):
    globals()["page_hop_%d" % number] = refused("200 OK", [(field, "x")])


def page_twice(environ, start_response):
    start_response("200 OK", list(TEXT))
    try:
        start_response("200 OK", list(TEXT))
    except AssertionError:
        return [b"ok"]
    return [b"it was taken"]


def page_twice_with_none(environ, start_response):
    start_response("200 OK", list(TEXT))
    try:
        start_response("200 OK", list(TEXT), None)
    except AssertionError:
        return [b"ok"]
    return [b"it was taken"]


def page_exc_info_first(environ, start_response):
    try:
        raise LookupError("early")
    except LookupError:
        start_response("200 OK", list(TEXT), sys.exc_info())
    return [b"ok"]


def page_exc_info_replaces(environ, start_response):
    start_response("200 OK", [("X-Old", "1")])
    try:
        raise LookupError("late")
    except LookupError:
        start_response("500 Oh no", TEXT + [("X-New", "1")], sys.exc_info())
    return [b"ok"]


def page_exc_info_too_late(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b"o"
    error = LookupError("too late")
    try:
        raise error
    except LookupError:
        try:
            start_response("500 Oh no", list(TEXT), sys.exc_info())
        except LookupError as raised:
            yield b"k" if raised is error else b"another exception"
        else:
            yield b"nothing raised"


def page_started_in_iterator(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b"ok"


def page_not_before_body(environ, start_response):
    """An empty string sends no head yet, so that it can still be another."""
    start_response("200 OK", list(TEXT))
    yield b""
    try:
        raise LookupError("late, but in time")
    except LookupError:
        start_response("503 Not now", list(TEXT), sys.exc_info())
    yield b"ok"


def page_fails_after_empty(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b""
    raise LookupError("before anything was sent")


def page_own_date(environ, start_response):
    start_response("200 OK", TEXT + [("Date", "Thu, 01 Jan 1970 00:00:00 GMT")])
    return [b"ok"]


# -- bodies

def page_one_piece(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [b"ok"]


def page_nothing(environ, start_response):
    start_response("200 OK", list(TEXT))
    return []


def page_generator(environ, start_response):
    start_response("200 OK", list(TEXT))
    return (piece for piece in (b"", b"o", b"", b"k", b""))


class Letters:
    def __getitem__(self, index):
        return (b"o", b"k")[index]


def page_sequence(environ, start_response):
    start_response("200 OK", list(TEXT))
    return Letters()


class Closing(list):
    def close(self):
        CLOSED[self.name] = CLOSED.get(self.name, 0) + 1


def page_close(environ, start_response):
    """/close/NAME: a body that counts its ends; /close/NAME?count tells how many there were."""
    name = environ["PATH_INFO"].split("/")[2]
    if environ["QUERY_STRING"]:
        return answer(start_response, None if CLOSED.get(name) == 1 else CLOSED.get(name, 0))
    body = Closing({"whole": [b"o", b"k"], "empty": [], "text": ["text"], "late": [b"x" * 70000, "text"], "head": [b"ok"], "none": [b"ok"]}[name])
    body.name = name
    start_response("204 Nothing" if name == "none" else "200 OK", list(TEXT))
    return body


def page_bytearray(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [bytearray(b"no bytes")]


def status_without_body(status):
    def page(environ, start_response):
        start_response(status, [("X-A", "1")])
        return [b"what nobody may see"]
    return page


page_204 = status_without_body("204 No Content")
page_304 = status_without_body("304 Not Modified")


def page_length_and_less(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "10")])
    yield b"12345"


def page_length_and_more(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "2")])
    yield b"o"
    yield b"kay"
    yield b" and more"


def page_write(environ, start_response):
    write = start_response("200 OK", list(TEXT))
    write(b"")
    write(b"o")
    return [b"k"]


def page_write_text(environ, start_response):
    write = start_response("200 OK", list(TEXT))
    try:
        write("text")
    except TypeError:
        return [b"ok"]
    return [b"it was taken"]


def page_write_in_iteration(environ, start_response):
    write = start_response("200 OK", list(TEXT))
    write(b"o")
    yield b"k"
    write(b"?")
    yield b"!"


# -- failures

def raising(error):
    def page(environ, start_response):
        raise error
    return page


page_raise = raising(LookupError("as it should"))
page_raise_exit = raising(SystemExit(1))
page_raise_interrupt = raising(KeyboardInterrupt())
page_raise_generator = raising(GeneratorExit())
page_raise_unprintable = raising(type("Odd", (Exception,), {"__str__": lambda self: 1 / 0})())


def page_raise_late(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b"begun"
    raise LookupError("in the middle")


# -- threads

MEETING = threading.Barrier(2)


def page_meet(environ, start_response):
    MEETING.wait(20)
    return answer(start_response)


# -- wsgi.file_wrapper

def content():
    file = tempfile.TemporaryFile()
    file.write(b"0123456789" * 1000)
    file.seek(0)
    return file


def wrapped(make, *size):
    def page(environ, start_response):
        start_response("200 OK", list(TEXT))
        return environ["wsgi.file_wrapper"](make(), *size)
    return page


def at(offset):
    file = content()
    file.seek(offset)
    return file


class Reader:
    """Something to read that is no file: it has no descriptor, and no close()."""

    def __init__(self):
        self.sizes = []

    def read(self, size):
        self.sizes.append(size)
        return b"ok"[len(self.sizes) - 1:len(self.sizes)]


class Mislead(io.BytesIO):
    """Reads something else than its descriptor would give."""

    def fileno(self):
        raise io.UnsupportedOperation


page_file = wrapped(content)
page_file_offset = wrapped(lambda: at(9998))
page_file_past_end = wrapped(lambda: at(20000))
page_file_memory = wrapped(lambda: io.BytesIO(b"ok"), 1)
page_file_reader = wrapped(Reader, 10)
page_file_misleading = wrapped(lambda: Mislead(b"ok"))


def page_file_length(environ, start_response):
    start_response("200 OK", TEXT + [("Content-Length", "5")])
    return environ["wsgi.file_wrapper"](at(5))


def page_file_iterated(environ, start_response):
    start_response("200 OK", list(TEXT))
    pieces = list(environ["wsgi.file_wrapper"](io.BytesIO(b"abcde"), 2))
    return [b"ok" if pieces == [b"ab", b"cd", b"e"] else repr(pieces).encode()]


class Watched(io.BytesIO):
    def close(self):
        CLOSED["file"] = CLOSED.get("file", 0) + 1
        super().close()


page_file_closed = wrapped(lambda: Watched(b"ok"))
page_file_was_closed = check(lambda e: CLOSED.get("file") == 1)
