"""What an application sees of the module uwsgi: evaluates what a test asks for.

The same file runs under uWSGI itself. A request's body is an expression, or statements that set `answer`; the answer is
its repr().
"""

import os
import time
import traceback

import uwsgi

forked = []


def after_fork():
    forked.append((uwsgi.worker_id(), uwsgi.mule_id(), bool(uwsgi.i_am_the_spooler())))


uwsgi.post_fork_hook = after_fork
in_parent = uwsgi.worker_id()


def application(environ, start_response):
    text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    scope = {"environ": environ, "forked": forked, "in_parent": in_parent, "os": os, "time": time, "uwsgi": uwsgi}
    try:
        try:
            code = compile(text, "request", "eval")
        except SyntaxError:
            exec(text, scope)
            answer = scope.get("answer")
        else:
            answer = eval(code, scope)
        status, body = "200 OK", repr(answer)
    except Exception as error:
        traceback.print_exc()
        status, body = "500 Error", "%s: %s" % (type(error).__name__, error)
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("X-Worker", str(os.getpid()))])
    return [body.encode()]
