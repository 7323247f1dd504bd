"""A failing application within Werkzeug's debugger, which answers with its own pages and evaluates what it is asked."""

from werkzeug.debug import DebuggedApplication


def failing(environ, start_response):
    answer = 41
    if environ["PATH_INFO"] == "/late":
        start_response("200 OK", [("Content-Type", "text/html")])
        return late()
    raise LookupError("broken with %d" % answer)


def late():
    yield b"begun "
    raise LookupError("broken in the middle")


application = DebuggedApplication(failing, evalex=True, pin_security=False)
