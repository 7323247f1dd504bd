"""The backends of the soak: servers of every protocol, each of which can be killed, ended, stopped and started."""
import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from servers import HERE, PEERS, free_port

START_SECONDS_MAX = 20
# Longer than the read time-outs of soak.conf.
STOP_SECONDS = 3


@dataclass
class Backend:
    """One server of an upstream group."""

    group: str
    address: str
    command: list[str]
    folder: Path
    ready: tuple | str
    process: subprocess.Popen | None = None
    is_busy: bool = field(default=False)

    def start(self) -> None:
        """Starts it in a session of its own and waits until it listens."""
        with open(self.folder / f"{self.group}-{id(self)}.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self.command], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )
        wait_until_listening(self.ready)
        if self.group == "memcached":
            fill(self.ready)

    def signal(self, number: int) -> None:
        """Signals all of its processes."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        """Ends it at once."""
        if self.process:
            self.signal(signal.SIGKILL)
            self.process.wait()

    async def suffer(self, what: str) -> None:
        """Has something happen to it; afterwards it runs again."""
        self.is_busy = True
        try:
            if what == "stop":
                self.signal(signal.SIGSTOP)
                await asyncio.sleep(STOP_SECONDS)
                self.signal(signal.SIGCONT)
                return
            self.signal(signal.SIGKILL if what == "kill" else signal.SIGTERM)
            await asyncio.sleep(random.uniform(0, 1))
            await asyncio.to_thread(self.kill)
            await asyncio.sleep(random.uniform(0, 1))
            await asyncio.to_thread(self.start)
        finally:
            self.is_busy = False


def wait_until_listening(where: tuple | str) -> None:
    """Returns once a connection can be made."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        with socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET) as attempt:
            try:
                return attempt.connect(where)
            except OSError:
                if time.monotonic() > deadline:
                    raise
        time.sleep(0.02)


def fill(where: tuple) -> None:
    """Puts the one value into a memcached."""
    value = b"memcached\n"
    with socket.create_connection(where) as connection:
        connection.sendall(b"set soak 0 0 %d\r\n%s\r\nquit\r\n" % (len(value), value))
        while connection.recv(100):
            pass


def backends_for(folder: Path) -> list[Backend]:
    """Two or three servers for each protocol."""
    backends = [http(folder) for _ in range(3)]
    for option in ("uwsgi", "scgi"):
        backends += [uwsgi(folder, option) for _ in range(2)]
    backends += [php_fpm(folder, number) for number in range(2)]
    backends.append(memcached(folder))
    return backends


def http(folder: Path) -> Backend:
    """An HTTP server that keeps connections."""
    port = free_port()
    return tcp("http", port, [sys.executable, HERE / "apps/soak_http.py", port], folder)


def uwsgi(folder: Path, protocol: str) -> Backend:
    """uWSGI by its own protocol or by SCGI."""
    port = free_port()
    command = [
        PEERS / "bin/uwsgi", "--home", PEERS, f"--{protocol}-socket", f"127.0.0.1:{port}", "--wsgi-file",
        HERE / "apps/soak_application.py", "--threads", "4", "--die-on-term", "--need-app",
    ]
    return tcp(protocol, port, command, folder)


def php_fpm(folder: Path, number: int) -> Backend:
    """PHP-FPM behind a unix socket."""
    program = sorted(Path("/usr/sbin").glob("php-fpm*"))[-1]
    path = f"/tmp/daemun-soak-{os.getpid()}-{number}.sock"
    configuration = folder / f"php-fpm-{number}.conf"
    user = "user = root" if os.getuid() == 0 else ""
    text = (HERE / "conf/php-fpm.conf").read_text().replace("@SOCKET@", path).replace("@POOL_USER@", user)
    configuration.write_text(text.replace("php-fpm.log", f"{folder}/php-fpm-{number}.log"))
    command = [program, "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", configuration]
    return Backend("fastcgi", f"unix:{path}", command, folder, path)


def memcached(folder: Path) -> Backend:
    """The real one."""
    port = free_port()
    command = [shutil.which("memcached"), "-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", port]
    return tcp("memcached", port, command, folder)


def tcp(group: str, port: int, command: list, folder: Path) -> Backend:
    """A backend on a port of this machine."""
    return Backend(group, f"127.0.0.1:{port}", command, folder, ("127.0.0.1", port))
