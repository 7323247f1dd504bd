"""Tasks that are written to files and run by processes of their own, again until they are done.

A file is uWSGI's: a packet of its protocol (modifier 17) with the task's variables, and behind it the body. It gets its
name only when it is whole; whoever runs it holds a lock on it that the system takes back when the process dies.
"""

# Every pool loads this: what is seldom needed is imported where it is needed.
import errno
import os
import struct
import sys
import time
from _thread import allocate_lock

MODIFIER = 17
VARIABLES_MAX = 0xFFFF
PREFIX = "uwsgi_spoolfile_on_"
OK, RETRY, IGNORE = -2, -1, 0

pool = None
lock = allocate_lock()
count = 0


def install(module, given):
    global pool
    pool = given
    for function in (
        spool,
        spooler_jobs,
        spooler_dir,
        spooler_pid,
        spooler_pids,
        set_spooler_frequency,
        parsefile,
    ):
        setattr(module, function.__name__, function)
    module.send_to_spooler = spool
    module.spooler_get_task = parsefile


# Writing tasks.


def spool(*arguments, **options):
    """Writes a task and returns the name of its file, as bytes."""
    task = arguments[0] if arguments else options
    if not isinstance(task, dict):
        raise ValueError("The argument of spooler callable must be a dictionary")
    if not pool.folders:
        raise ValueError("no spooler is configured: set spooler = FOLDER")
    variables = {octets_of(name): value_of(value) for name, value in task.items() if name not in ("body", b"body")}
    body = task.get("body", task.get(b"body"))
    place = folder_of(variables.get(b"spooler"))
    head = packed(variables)
    folder = pool.folders[place]
    priority = variables.get(b"priority", b"").decode()
    if priority:
        folder = priority_folder(folder, priority)
    path = write(folder, head, b"" if body is None else octets_of(body), variables.get(b"at"))
    if not pool.is_quiet:
        pool.log_line("spooled %s" % path, False)
    pool.wake(place)
    return os.fsencode(path)


def octets_of(value):
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise ValueError("spooler callable dictionary must contains only bytes")


def value_of(value):
    """As uWSGI takes values: bytes, and what else has a text."""
    try:
        return octets_of(value)
    except ValueError:
        return str(value).encode()


def folder_of(name):
    if not name:
        return 0
    wanted = os.path.realpath(os.fsdecode(name))
    for place, folder in enumerate(pool.folders):
        if os.path.realpath(folder) == wanted:
            return place
    raise ValueError("unable to find spooler %s" % os.fsdecode(name))


def packed(variables):
    parts = []
    for name, value in variables.items():
        if len(name) > VARIABLES_MAX or len(value) > VARIABLES_MAX:
            raise ValueError("a variable of a task is limited to 64k, use 'body' for more")
        parts += [struct.pack("<H", len(name)), name, struct.pack("<H", len(value)), value]
    text = b"".join(parts)
    if len(text) > VARIABLES_MAX:
        raise ValueError("the variables of a task are limited to 64k, use 'body' for more")
    return struct.pack("<BHB", MODIFIER, len(text), 0) + text


def priority_folder(folder, priority):
    if not priority.isdigit():
        raise ValueError("the priority of a task is a number, not %r" % priority)
    folder = os.path.join(folder, priority)
    os.makedirs(folder, exist_ok=True)
    return folder


def write(folder, head, body, at):
    global count
    with lock:
        count += 1
        number = count
    now = time.time()
    name = "%s%s_%d_%d_%d_%d_%d" % (
        PREFIX,
        os.uname().nodename,
        os.getpid(),
        number,
        int.from_bytes(os.urandom(4), "little"),
        int(now),
        int(now % 1 * 1e6),
    )
    path, unfinished = os.path.join(folder, name), os.path.join(folder, ".new_" + name)
    descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(head)
            file.write(body)
        if at:
            seconds = int(float(at))
            os.utime(unfinished, (seconds, seconds))
        os.rename(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    return path


# Reading tasks.


def parsefile(path):
    """The variables of a task's file."""
    with open(path, "rb") as file:
        return unpacked(file.read())


def unpacked(text):
    if len(text) < 4:
        raise ValueError("no task")
    modifier, length, _ = struct.unpack_from("<BHB", text)
    if modifier != MODIFIER or len(text) < 4 + length:
        raise ValueError("no task")
    task, place = {}, 4
    while place < 4 + length:
        fields = []
        for _ in range(2):
            if place + 2 > 4 + length:
                raise ValueError("no task")
            (size,) = struct.unpack_from("<H", text, place)
            place += 2
            if place + size > 4 + length:
                raise ValueError("no task")
            fields.append(text[place : place + size])
            place += size
        task[fields[0]] = fields[1]
    if len(text) > 4 + length:
        task["body"] = text[4 + length :]
    return task


def tasks_in(folder):
    """Files of tasks that are due: numbered folders first, by their numbers; then the oldest first, or by name."""
    now = time.time()
    folders, files = [], []
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return []
    for entry in entries:
        if entry.name.isdigit() and entry.is_dir(follow_symlinks=False):
            folders.append(entry.path)
        elif entry.name.startswith(PREFIX) and entry.is_file(follow_symlinks=False):
            changed = entry.stat(follow_symlinks=False).st_mtime
            if changed <= now:
                files.append((by_number(entry.name) if pool.is_ordered else changed, entry.path))
    paths = [path for inner in sorted(folders, key=by_number) for path in tasks_in(inner)]
    return paths + [path for _, path in sorted(files)]


def by_number(name):
    import re

    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def spooler_jobs():
    """Files of the first folder that wait, as bytes."""
    folders = pool.folders[:1]
    names = [os.path.join(folder, name) for folder in folders for name in sorted(os.listdir(folder))]
    return [os.fsencode(path) for path in names if os.path.basename(path).startswith(PREFIX)]


def spooler_dir():
    number = pool.own_number()
    return None if number is None else pool.folders[number // pool.processes]


def spooler_pid():
    return (pool.pids() or [0])[0]


def spooler_pids():
    return pool.pids()


def set_spooler_frequency(seconds):
    pool.set_frequency(seconds)
    return True


# Running tasks.


def run():
    """Runs the tasks of one folder until the process is told to end."""
    folder = spooler_dir()
    os.makedirs(folder, mode=0o750, exist_ok=True)
    import_modules()
    ended = 0
    while True:
        for path in tasks_in(folder):
            ended += run_file(path)
            if pool.tasks_max and ended >= pool.tasks_max:
                return
            if not go_on():
                return
        if not pool.wait():
            return


def go_on():
    # A signal that came while a task ran was only noted.
    return not pool.is_told_to_end()


def import_modules():
    import importlib
    import runpy

    for name in pool.imports:
        if "/" in name or name.endswith(".py"):
            runpy.run_path(name)
        else:
            importlib.import_module(name)


def run_file(path):
    """Runs a task if nobody else does; how many were run."""
    try:
        file = open(path, "r+b")
    except OSError as error:
        if error.errno != errno.ENOENT:
            pool.log_line("task %s: %s" % (path, error), True)
        return 0
    import fcntl

    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0
        if os.fstat(file.fileno()).st_nlink == 0:
            return 0  # Done by another in the meantime.
        return run_locked(path, file)


def run_locked(path, file):
    text = file.read()
    if not text:
        return 0
    name = os.path.basename(path)
    try:
        task = unpacked(text)
    except ValueError as error:
        pool.log_line("task %s is dropped: %s" % (name, error), True)
        os.unlink(path)
        return 0
    function = pool.callback()
    if function is None:
        pool.log_line("task %s waits: the application has not set uwsgi.spooler" % name, True)
        return 0
    task["spooler_task_name"] = os.fsencode(name)
    begun = time.time()
    verdict = verdict_of(function, task)
    if verdict == OK:
        os.unlink(path)
        if not pool.is_quiet:
            pool.log_line("done with task %s after %d seconds" % (name, time.time() - begun), False)
    elif verdict == IGNORE:
        pool.log_line("task %s waits: uwsgi.spooler did not know it" % name, True)
        return 0
    elif not pool.is_quiet:
        pool.log_line("task %s is to be run again" % name, False)
    return 1


def verdict_of(function, task):
    if pool.working_folder:
        os.chdir(pool.working_folder)
    if pool.harakiri_seconds:
        pool.set_deadline(pool.harakiri_seconds)
    try:
        verdict = pool.run_task(function, task)
    except Exception:
        import traceback

        for line in traceback.format_exc().splitlines():
            pool.log_line(line, True)
        return RETRY
    finally:
        pool.set_deadline(0)
        sys.stdout.flush()
        sys.stderr.flush()
    return verdict if isinstance(verdict, int) else RETRY
