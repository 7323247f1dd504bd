"""The WSGI application of the soak: the request's number and the length of its body, then more of it."""
import random
import time
from urllib.parse import parse_qs


def application(environ, start_response):
    """Answers every request in the same way."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    received = 0
    while received < length:
        part = environ["wsgi.input"].read(length - received)
        if not part:
            break
        received += len(part)
    time.sleep(random.choice((0, 0, 0.01)))
    first = f"{parse_qs(environ['QUERY_STRING'])['id'][0]} {received}\n".encode()
    rest = b"z" * random.choice((0, 100, 50_000))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(first) + len(rest)))])
    return [first, rest]
