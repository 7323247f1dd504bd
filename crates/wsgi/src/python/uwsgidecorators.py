"""Decorators around the module uwsgi, by the names and with the meaning that uWSGI's own have.

A program of daemun's: it needs no installation, and stands before one that is installed.
"""

import pickle
import sys
from functools import partial, wraps
from threading import Thread

import uwsgi

spooler_functions = {}
mule_functions = {}
postfork_chain = []


def get_free_signal():
    for number in range(256):
        if not uwsgi.signal_registered(number):
            return number
    raise Exception("No free uwsgi signal available")


# After the fork.


def postfork_chain_hook():
    for function in postfork_chain:
        function()


class postfork(object):
    """@postfork, or @postfork(2) for worker 2 alone."""

    def __init__(self, function_or_worker):
        is_function = callable(function_or_worker)
        self.f = function_or_worker if is_function else None
        self.wid = 0 if is_function else function_or_worker
        postfork_chain.append(self)

    def __call__(self, *args, **kwargs):
        if self.f is None:
            self.f = args[0]
            return self
        if self.wid in (0, uwsgi.worker_id()):
            return self.f()
        return None


uwsgi.post_fork_hook = postfork_chain_hook


# Spooled tasks.


def _text(octets):
    try:
        return octets.decode() if isinstance(octets, bytes) else octets
    except UnicodeDecodeError:
        return octets


def manage_spool_request(task):
    """uwsgi.spooler: finds the function that a task is for."""
    task = {_text(name): value for name, value in task.items()}
    arguments = None
    if "args" in task:
        arguments = pickle.loads(task.pop("args")), pickle.loads(task.pop("kwargs"))
    # As in uWSGI all of it is text here; a body that is none stays what it is.
    task = {name: _text(value) for name, value in task.items()}
    function = spooler_functions[task["ud_spool_func"]]
    if arguments is None:
        verdict = function(task)
    else:
        verdict = function(*arguments[0], **arguments[1])
    return int(task.get("ud_spool_ret", verdict))


uwsgi.spooler = manage_spool_request


class _spoolraw(object):
    """A function whose calls are written down and made by a spooler; it says itself whether it is done."""

    verdict = None

    def __init__(self, f, pass_arguments=False):
        if "spooler" not in uwsgi.opt:
            raise Exception(
                "you have to enable the uWSGI spooler to use @%s decorator" % type(self).__name__.strip("_")
            )
        self.f = f
        self.pass_arguments = pass_arguments
        spooler_functions[f.__name__] = f
        f.spool = self

    def __call__(self, *args, **kwargs):
        task = {"ud_spool_func": self.f.__name__}
        if self.verdict is not None:
            task["ud_spool_ret"] = str(self.verdict)
        if self.pass_arguments:
            for name in ("message_dict", "spooler", "priority", "at", "body"):
                if name in kwargs:
                    task[name] = kwargs.pop(name)
            task["args"] = pickle.dumps(args)
            task["kwargs"] = pickle.dumps(kwargs)
        else:
            for given in args[:1]:
                task.update(given)
            task.update(kwargs)
        return uwsgi.spool(task)

    # As in uWSGI before 1.9.13: function.spool(...)
    spool = __call__


class _spool(_spoolraw):
    verdict = uwsgi.SPOOL_OK


class _spoolforever(_spoolraw):
    verdict = uwsgi.SPOOL_RETRY


def spool_decorate(f=None, pass_arguments=False, _class=_spoolraw):
    if f is None:
        return partial(_class, pass_arguments=pass_arguments)
    return _class(f, pass_arguments)


def spoolraw(f=None, pass_arguments=False):
    return spool_decorate(f, pass_arguments, _spoolraw)


def spool(f=None, pass_arguments=False):
    return spool_decorate(f, pass_arguments, _spool)


def spoolforever(f=None, pass_arguments=False):
    return spool_decorate(f, pass_arguments, _spoolforever)


# Mules.


class mulefunc(object):
    """@mulefunc, @mulefunc(2) or @mulefunc('farm'): the function runs in a mule."""

    def __init__(self, function_or_mule):
        self.fname = None
        self.mule = 0
        if callable(function_or_mule):
            self._take(function_or_mule)
        else:
            self.mule = function_or_mule

    def _take(self, f):
        self.fname = f.__name__
        mule_functions[self.fname] = f

    def real_call(self, *args, **kwargs):
        call = {"service": "uwsgi_mulefunc", "func": self.fname, "args": args, "kwargs": kwargs}
        uwsgi.mule_msg(pickle.dumps(call), self.mule)

    def __call__(self, *args, **kwargs):
        if self.fname is None:
            self._take(args[0])
            return self.real_call
        return self.real_call(*args, **kwargs)


def mule_msg_dispatcher(message):
    try:
        call = pickle.loads(message)
    except Exception:
        return None  # A message of somebody else's.
    if isinstance(call, dict) and call.get("service") == "uwsgi_mulefunc":
        return mule_functions[call["func"]](*call["args"], **call["kwargs"])
    return None


uwsgi.install_mule_msg_hook(mule_msg_dispatcher)


def _leave_loudly():
    sys.excepthook(*sys.exc_info())
    sys.exit(1)


class mule_brain(object):
    def __init__(self, f, num):
        self.f = f
        self.num = num

    def think(self):
        try:
            self.f()
        except SystemExit:
            raise
        except BaseException:
            _leave_loudly()

    def __call__(self):
        if uwsgi.mule_id() == self.num:
            self.think()


class mule_brainloop(mule_brain):
    def __call__(self):
        while uwsgi.mule_id() == self.num:
            self.think()


class mule(object):
    """@mule(1): the function is what that mule does before it takes messages."""

    brain = mule_brain

    def __init__(self, num):
        self.num = num

    def __call__(self, f):
        postfork_chain.append(self.brain(f, self.num))
        return f


class muleloop(mule):
    brain = mule_brainloop


class mulemsg_loop(object):
    def __init__(self, f, num):
        self.f = f
        self.num = num

    def __call__(self):
        while uwsgi.mule_id() == self.num:
            message = uwsgi.mule_get_msg()
            if message:
                self.f(message)


class mulemsg(object):
    """@mulemsg(1): every message of that mule goes to the function."""

    def __init__(self, num):
        self.num = num

    def __call__(self, f):
        postfork_chain.append(mulemsg_loop(f, self.num))
        return f


class farm_loop(object):
    def __init__(self, f, farm):
        self.f = f
        self.farm = farm

    def __call__(self):
        while uwsgi.mule_id() and uwsgi.in_farm(self.farm):
            message = uwsgi.farm_get_msg()
            if message:
                self.f(message)


class farm(object):
    """@farm('name'): every message of that farm goes to the function, in one of its mules."""

    def __init__(self, name=None, **kwargs):
        self.name = name

    def __call__(self, f):
        postfork_chain.append(farm_loop(f, self.name))
        return f


# Signals, and what sends them.


class signal(object):
    def __init__(self, num, **kwargs):
        self.num = num
        self.target = kwargs.get("target", "")

    def add(self):
        pass

    def __call__(self, f):
        if self.num is None:
            self.num = get_free_signal()
        uwsgi.register_signal(self.num, self.target, f)
        self.add()
        return f


class _sent(signal):
    """A signal that something sends by itself; its number is the first free one unless it is said."""

    def __init__(self, *when, **kwargs):
        super(_sent, self).__init__(kwargs.pop("signum", None), **kwargs)
        kwargs.pop("target", None)
        self.when = when + tuple(kwargs.values())


class timer(_sent):
    def add(self):
        uwsgi.add_timer(self.num, *self.when)


class mstimer(_sent):
    def add(self):
        uwsgi.add_ms_timer(self.num, *self.when)


class rbtimer(_sent):
    def add(self):
        uwsgi.add_rb_timer(self.num, *self.when)


class cron(_sent):
    def __init__(self, minute, hour, day, month, dayweek, **kwargs):
        super(cron, self).__init__(minute, hour, day, month, dayweek, **kwargs)

    def add(self):
        uwsgi.add_cron(self.num, *self.when)


class filemon(_sent):
    def add(self):
        uwsgi.add_file_monitor(self.num, *self.when)


# The rest.


class rpc(object):
    def __init__(self, name):
        self.name = name

    def __call__(self, f):
        uwsgi.register_rpc(self.name, f)
        return f


class erlang(object):
    def __init__(self, name):
        self.name = name

    def __call__(self, f):
        uwsgi.erlang_register_process(self.name, f)
        return f


def lock(f):
    """One process at a time; in a spooler, which has no locks, nothing is done."""

    @wraps(f)
    def locked(*args, **kwargs):
        if uwsgi.i_am_the_spooler():
            return None
        uwsgi.lock()
        try:
            return f(*args, **kwargs)
        finally:
            uwsgi.unlock()

    return locked


def thread(f):
    """A call starts a thread and does not wait for it."""

    @wraps(f)
    def started(*args):
        Thread(target=f, args=args, daemon=True).start()
        return f

    return started


class harakiri(object):
    """@harakiri(30): so many seconds for a call, then its worker is killed."""

    def __init__(self, seconds):
        self.s = seconds

    def __call__(self, f):
        @wraps(f)
        def limited(*args, **kwargs):
            uwsgi.set_user_harakiri(self.s)
            try:
                return f(*args, **kwargs)
            finally:
                uwsgi.set_user_harakiri(0)

        return limited
