"""Two events; the second waits for a file."""

import os
import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/event-stream")])

    def events():
        yield b"data: first\n\n"
        while not os.path.exists("../go"):
            time.sleep(0.01)
        yield b"data: second\n\n"

    return events()
