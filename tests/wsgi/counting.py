"""An application whose answers tell how often it was called, with which method; what they may be kept for is said by the query."""

import os

CALLS = 0


def application(environ, start_response):
    global CALLS
    CALLS += 1
    if os.path.exists(os.environ["FAILS"]):
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"failed"]
    text = "%d %s %s" % (CALLS, environ["REQUEST_METHOD"], environ.get("HTTP_IF_NONE_MATCH", "-"))
    headers = [("Content-Type", "text/plain"), ("ETag", '"%s"' % environ["PATH_INFO"])]
    if environ["QUERY_STRING"]:
        headers.append(("Cache-Control", environ["QUERY_STRING"]))
    if environ["PATH_INFO"] == "/streamed":
        start_response("200 OK", headers)
        return (piece for piece in [text.encode(), b" " * 200000, b"end"])
    body = text.encode()
    start_response("200 OK", headers + [("Content-Length", str(len(body)))])
    return [body]
