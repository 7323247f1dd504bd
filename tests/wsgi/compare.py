"""The application behind the comparison with nginx and uWSGI: what it is asked and given, it says."""

import hashlib
import os

#: Differ from run to run, or are the server's own objects and extensions.
VOLATILE = ("REMOTE_PORT", "wsgi.errors", "wsgi.input", "wsgi.file_wrapper", "wsgi.input_terminated")

#: nginx and uWSGI hand these on beside CONTENT_TYPE and CONTENT_LENGTH. wsgiref.validate refuses them, so daemun does not.
SECOND_NAMES = ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")

FOREIGN = ("uwsgi.", "x-wsgiorg.", "daemun.")


def application(environ, start_response):
    """Calls the function named by the first segment of the path; `echo` for every other."""
    name = environ.get("PATH_INFO", "").lstrip("/").split("/")[0]
    return PAGES.get(name, echo)(environ, start_response)


def echo(environ, start_response):
    body = describe(environ).encode("ascii")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def describe(environ):
    """The environ, a line for each key, and length and digest of the body."""
    lines = []
    for key in sorted(environ):
        value = environ[key]
        # uWSGI leaves out an empty SCRIPT_NAME, daemun does not: some applications read it unasked, wsgiref.validate too.
        if key in VOLATILE + SECOND_NAMES or key.startswith(FOREIGN) or (key == "SCRIPT_NAME" and value == ""):
            continue
        if key.startswith("wsgi.") or isinstance(value, str):
            lines.append("%s=%s" % (ascii(key), ascii(value)))
    length = 0
    digest = hashlib.sha256()
    while True:
        block = environ["wsgi.input"].read(100000)
        if not block:
            break
        length += len(block)
        digest.update(block)
    lines.append("body: %d octets, %s" % (length, digest.hexdigest()))
    return "\n".join(lines) + "\n"


def mirror(environ, start_response):
    body = environ["wsgi.input"].read()
    content_type = environ.get("CONTENT_TYPE") or "application/octet-stream"
    start_response("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


def status(environ, start_response):
    """/status/CODE/Reason%20phrase"""
    code, _, reason = environ["PATH_INFO"].split("/status/")[1].partition("/")
    headers = [("Content-Type", "text/html; charset=utf-8")]
    start_response("%s %s" % (code, reason), headers)
    return [b"" if code in ("204", "304") else b"<p>the application's own page</p>"]


def not_modified(environ, start_response):
    headers = [("ETag", '"v1"'), ("Last-Modified", "Mon, 05 Jan 2026 10:00:00 GMT"), ("Cache-Control", "max-age=60")]
    if environ.get("HTTP_IF_NONE_MATCH") == '"v1"':
        start_response("304 Not Modified", headers)
        return []
    start_response("200 OK", headers + [("Content-Type", "text/plain"), ("Content-Length", "8")])
    return [b"version1"]


def redirect(environ, start_response):
    start_response("302 Found", [("Location", environ.get("QUERY_STRING") or "/echo"), ("Content-Type", "text/plain")])
    return [b""]


def cookies(environ, start_response):
    headers = [
        ("Content-Type", "text/plain"),
        ("Set-Cookie", "sessionid=abc; HttpOnly; Path=/; SameSite=Lax"),
        ("Set-Cookie", "csrftoken=def; Path=/"),
        ("X-Repeated", "one"),
        ("X-Repeated", "two"),
        ("Vary", "Cookie"),
        ("Vary", "Accept-Language"),
    ]
    start_response("200 OK", headers)
    return [environ.get("HTTP_COOKIE", "").encode("latin-1")]


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"line %d of a body without a length\n" % number for number in range(20))


def empty_pieces(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"", b"first", b"", b"second", b""])


def large(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(3 * 1024 * 1024))])
    return (bytes([number % 256]) * 65536 for number in range(48))


def large_without_length(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (bytes([number % 256]) * 65536 for number in range(48))


def write(environ, start_response):
    send = start_response("200 OK", [("Content-Type", "text/plain")])
    send(b"by write, ")
    send(b"twice, ")
    return [b"then by the iterable"]


def file_wrapper(environ, start_response):
    path = os.environ["COMPARE_FILE"]
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(os.path.getsize(path)))]
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](open(path, "rb"), 32768)


def accel(environ, start_response):
    """The web server's own headers: they act and are not passed on."""
    headers = [("Content-Type", "text/plain"), ("X-Accel-Buffering", "no"), ("X-Accel-Expires", "0"), ("X-Kept", "yes")]
    start_response("200 OK", headers)
    return [b"accel"]


def head_headers(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1234"), ("X-Page", "head")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"x" * 1234]


PAGES = {
    page.__name__: page
    for page in (
        mirror, status, not_modified, redirect, cookies, stream, empty_pieces, large, large_without_length,
        write, file_wrapper, accel, head_headers,
    )
}
