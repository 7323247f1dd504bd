"""Pages that use every corner of PEP 3333, right and wrong. What happens out of sight they note in the file EVENTS names."""

import io
import json
import os
import sys
import threading
import time
import urllib.parse


def application(environ, start_response):
    """Calls the function named by the first segment of the path."""
    name = environ["PATH_INFO"].lstrip("/").split("/")[0]
    return PAGES.get(name, hello)(environ, start_response)


def hello(environ, start_response):
    return plain(start_response, "hello from %d\n" % os.getpid())


def plain(start_response, text, status="200 OK"):
    body = text.encode("utf-8")
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def note(text):
    """Appends a line, in one write, so that lines of several processes never mix."""
    with open(os.environ["EVENTS"], "ab", buffering=0) as events:
        events.write((text + "\n").encode("utf-8"))


# -- environ

def environ_facts(environ, start_response):
    required = (
        "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL",
        "REMOTE_ADDR", "wsgi.version", "wsgi.url_scheme", "wsgi.input", "wsgi.errors", "wsgi.multithread",
        "wsgi.multiprocess", "wsgi.run_once",
    )
    strings = {key: value for key, value in environ.items() if isinstance(value, str)}
    facts = {
        "is_dict": type(environ) is dict,
        "missing": [key for key in required if key not in environ],
        "keys_are_strings": all(type(key) is str for key in environ),
        "cgi_values_are_strings": all(type(environ[key]) is str for key in environ if key.isupper()),
        "values_are_latin1": all(value == value.encode("latin-1").decode("latin-1") for value in strings.values()),
        "version": list(environ["wsgi.version"]),
        "version_is_tuple": type(environ["wsgi.version"]) is tuple,
        "multithread": environ["wsgi.multithread"],
        "multiprocess": environ["wsgi.multiprocess"],
        "run_once": environ["wsgi.run_once"],
        "input": [name for name in ("read", "readline", "readlines", "__iter__") if not hasattr(environ["wsgi.input"], name)],
        "errors": [name for name in ("flush", "write", "writelines") if not hasattr(environ["wsgi.errors"], name)],
        "strings": strings,
    }
    return plain(start_response, json.dumps(facts))


def change_environ(environ, start_response):
    """Marks environ and says whether it was marked by an earlier request."""
    seen = environ.get("mark")
    environ["mark"] = "1"
    environ.pop("REQUEST_METHOD")
    return plain(start_response, "marked" if seen else "clean")


# -- start_response

def start_twice(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"unreachable"]


def start_again_with_exc_info(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "1")])
    try:
        raise RuntimeError("found out late")
    except RuntimeError:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain"), ("X-Second", "1")], sys.exc_info())
    return [b"the second answer"]


def exc_info_after_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"x" * 100000
    try:
        raise RuntimeError("found out too late")
    except RuntimeError:
        try:
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")], sys.exc_info())
        except RuntimeError:
            note("start_response raised what it was given")
            raise
    note("start_response raised nothing")


def never_started(environ, start_response):
    return [b"a body without a head"]


def started_by_generator(environ, start_response):
    start_response("202 Accepted", [("Content-Type", "text/plain")])
    yield b"started late, "
    yield b"but in time"


def body_before_start(environ, start_response):
    yield b"too early"
    start_response("200 OK", [("Content-Type", "text/plain")])


def empty_before_start(environ, start_response):
    yield b""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"an empty string is no body"


def write(environ, start_response):
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    send(b"one ")
    send(b"")
    send(b"two ")
    return [b"three"]


def returns_none(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])


def bad_head(environ, start_response):
    """/bad_head/NAME"""
    right = [("Content-Type", "text/plain")]
    status, headers = {
        "status_bytes": (b"200 OK", right),
        "status_number": (200, right),
        "status_short": ("20 OK", right),
        "status_word": ("OK", right),
        "status_line_end": ("200 OK\r\nX-Injected: 1", right),
        "name_line_end": ("200 OK", right + [("X-One\r\nX-Injected", "1")]),
        "value_line_end": ("200 OK", right + [("X-One", "1\r\nX-Injected: 1")]),
        "value_bare_lf": ("200 OK", right + [("X-One", "1\nX-Injected: 1")]),
        "value_nul": ("200 OK", right + [("X-One", "1\x00")]),
        "name_colon": ("200 OK", right + [("X-One:", "1")]),
        "name_blank": ("200 OK", right + [("X One", "1")]),
        "name_empty": ("200 OK", right + [("", "1")]),
        "name_bytes": ("200 OK", right + [(b"X-One", "1")]),
        "value_number": ("200 OK", right + [("Content-Length", 3)]),
        "value_not_latin1": ("200 OK", right + [("X-One", "\ub300\ubb38")]),
        "three_items": ("200 OK", right + [("X-One", "1", "2")]),
        "not_a_pair": ("200 OK", right + ["X-One"]),
        "hop_by_hop": ("200 OK", right + [("Connection", "close")]),
        "transfer_encoding": ("200 OK", right + [("Transfer-Encoding", "chunked")]),
    }[environ["PATH_INFO"].split("/")[2]]
    start_response(status, headers)
    return [b"never sent"]


def latin1_header(environ, start_response):
    start_response("200 Tr\u00e8s bien", [("Content-Type", "text/plain"), ("X-Latin", "na\u00efve")])
    return [b"ok"]


# -- bodies

class Body:
    """An iterable that notes every close()."""

    def __init__(self, pieces, name):
        self.pieces = pieces
        self.name = name

    def __iter__(self):
        return iter(self.pieces)

    def close(self):
        note("closed " + self.name)


def closing(environ, start_response):
    """/closing/NAME: the ways a body may end."""
    name = environ["PATH_INFO"].split("/")[2]
    start_response("200 OK", [("Content-Type", "text/plain")])

    def breaks():
        yield b"x" * 100000
        raise RuntimeError("in the middle of the body")

    def endless():
        while True:
            yield b"x" * 65536

    pieces = {"whole": [b"one", b"two"], "empty": [], "breaks": breaks(), "at_once": fails(), "endless": endless(), "head": [b"x"]}
    return Body(pieces[name], name)


def fails():
    raise RuntimeError("before the first piece")
    yield b""


def text_body(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["text where octets are due"]


def generator_with_finally(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        yield b"piece"
    finally:
        note("closed generator")


def too_long(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"12345", b"HTTP/1.1 200 OK\r\n\r\nsmuggled"]


def too_short(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "50")])
    return [b"12345"]


def steps(environ, start_response):
    """Sends a piece, and the next only when the file GO exists."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first piece\n"
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)
    yield b"second piece\n"


def big(environ, start_response):
    """/big/OCTETS/PIECE: so many octets without a length, in pieces of this size."""
    total, piece = (int(word) for word in environ["PATH_INFO"].split("/")[2:4])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (bytes([start // piece % 256]) * min(piece, total - start) for start in range(0, total, piece))


def counted(environ, start_response):
    """/counted/OCTETS/PIECE: the same, and a note of how many there have been before each piece."""
    for made, piece in enumerate(big(environ, start_response)):
        note("made %d" % (made * len(piece)))
        yield piece


class Noted(io.FileIO):
    def close(self):
        if not self.closed:
            note("closed file")
        super().close()


def file_wrapper(environ, start_response):
    """/file_wrapper/KIND: the file that FILE names."""
    kind = environ["PATH_INFO"].split("/")[2]
    path = os.environ["FILE"]
    headers = [("Content-Type", "application/octet-stream")]
    if kind == "length":
        headers.append(("Content-Length", "100"))
    start_response("200 OK", headers)
    if kind == "memory":
        return environ["wsgi.file_wrapper"](io.BytesIO(b"in memory"), 4)
    source = Noted(path, "rb")
    if kind == "seeked":
        source.seek(1000)
    if kind == "iterated":
        return iter(environ["wsgi.file_wrapper"](source))
    return environ["wsgi.file_wrapper"](source)


# -- wsgi.input

def read_input(environ, start_response):
    """/read_input/WAY: reads the body and returns it with the pieces it came in."""
    source = environ["wsgi.input"]
    way = environ["PATH_INFO"].split("/")[2]
    pieces = {
        "read": lambda: [source.read()],
        "read_minus_one": lambda: [source.read(-1)],
        "read_some": lambda: [source.read(3), source.read(0), source.read(1000)],
        "lines": lambda: [source.readline(), source.readline(2), source.readline(), source.readline()],
        "readlines": lambda: source.readlines(),
        "iteration": lambda: list(source),
        "beyond": lambda: [source.read(), source.read(), source.read(10), source.readline()],
        "nothing": lambda: [],
    }[way]()
    return plain(start_response, json.dumps([piece.decode("latin-1") for piece in pieces]))


def count_input(environ, start_response):
    total = 0
    while True:
        block = environ["wsgi.input"].read(65536)
        if not block:
            return plain(start_response, "%d %s" % (total, environ.get("CONTENT_LENGTH")))
        total += len(block)


def talk(environ, start_response):
    """Answers the first five octets of the body before it has the others."""
    source = environ["wsgi.input"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first: " + source.read(5) + b"\n"
    yield b"rest: " + source.read() + b"\n"


def orders(environ, start_response):
    """Answers with the fields that the query gives, name=value each."""
    fields = urllib.parse.parse_qsl(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain"), *fields])
    return [b"the application's own"]


def parrot(environ, start_response):
    """Answers each piece of the body before it reads the next."""
    source = environ["wsgi.input"]
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(lambda: source.read(50000), b"")


def early(environ, start_response):
    """Begins its answer before it asks for the body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun\n"
    yield b"%d\n" % len(environ["wsgi.input"].read())


def input_watched(environ, start_response):
    note("begins with %d" % len(environ["wsgi.input"].read(4)))
    return input_cut(environ, start_response)


def input_cut(environ, start_response):
    try:
        note("read %d" % len(environ["wsgi.input"].read()))
    except OSError as error:
        note("OSError %s" % error)
    return plain(start_response, "read")


# -- failures and logs

def fail(environ, start_response):
    raise RuntimeError("the page /fail failed, as it should")


def leave(environ, start_response):
    sys.exit("an application must not leave")


def say(environ, start_response):
    word = environ["QUERY_STRING"]
    print("%s by print" % word)
    sys.stdout.flush()
    print("%s by stderr" % word, file=sys.stderr)
    environ["wsgi.errors"].write("%s by wsgi.errors\n" % word)
    environ["wsgi.errors"].flush()
    return plain(start_response, "said")


# -- processes and threads

def pid(environ, start_response):
    return plain(start_response, str(os.getpid()))


def hang(environ, start_response):
    """Notes its process id and never answers."""
    note("hanging %d" % os.getpid())
    while True:
        time.sleep(3600)


def vanish(environ, start_response):
    """Ends the process without a word, as a fault in a native library does."""
    os._exit(3)


def nap(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or "0.01"))
    return plain(start_response, str(os.getpid()))


MEETING = threading.Barrier(4)


def meet(environ, start_response):
    """Answers when four threads of this process are here."""
    MEETING.wait(20)
    return plain(start_response, "met")


def threads_work(environ, start_response):
    """Whether a thread of the application's own gets to run between requests."""
    if "ticks" not in STATE:
        STATE["ticks"] = 0
        threading.Thread(target=tick, daemon=True).start()
    return plain(start_response, str(STATE["ticks"]))


STATE = {}


def tick():
    while True:
        STATE["ticks"] += 1
        time.sleep(0.005)


def settings(environ, start_response):
    """How the process was set up."""
    facts = {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "version": list(sys.version_info[:3]),
        "folder": os.getcwd(),
        "path": sys.path,
        "environment": dict(os.environ),
        "user": [os.getuid(), os.getgid()],
        "groups": os.getgroups(),
    }
    return plain(start_response, json.dumps(facts))


PAGES = {name: page for name, page in list(globals().items()) if callable(page) and name not in ("Body", "Noted", "plain", "note")}
