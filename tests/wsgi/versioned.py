"""Says which version of itself was loaded: what the file VERSION held then. Some versions are broken."""

import os
import time

with open(os.environ["VERSION"]) as file:
    version = file.read().strip()

if version == "broken":
    raise RuntimeError("this version is broken")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    status = "200 OK"
    text = version
    if path == "/slow":
        with open(os.environ["EVENTS"], "a") as file:
            file.write("slow\n")
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.01)
    elif path == "/pid":
        text = str(os.getpid())
    elif path == "/reload":
        import uwsgi
        uwsgi.reload()
    elif path == "/health" and version == "unwell":
        status = "503 Service Unavailable"
    elif path == "/grow":
        application.ballast = bytearray(64 << 20)
        text = str(os.getpid())
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]
