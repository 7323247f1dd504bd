"""The smallest honest application: 1 KB with its Content-Length."""

BODY = b"x" * 1023 + b"\n"
HEADERS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]


def application(environ, start_response):
    """Answers every request alike."""
    start_response("200 OK", list(HEADERS))
    return [BODY]
