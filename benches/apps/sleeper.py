"""An application that waits 5 ms, as one that asks a database does."""
import time

from answer import BODY, HEADERS


def application(environ, start_response):
    """Sleeps, then answers as `answer` does."""
    time.sleep(0.005)
    start_response("200 OK", list(HEADERS))
    return [BODY]
