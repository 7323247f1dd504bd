"""How each server is started: its files, its command, its cores, and how it is stopped again."""
import ctypes
import html
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import process_tree

HERE = Path(__file__).resolve().parent
TOP = HERE.parent
PEERS = TOP / "target" / "peers" / "venv"
BOOT_SECONDS_MAX = 20
STOP_SECONDS_MAX = 5
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None)


@dataclass
class Place:
    """A server's own folder and port, and what the templates in conf/ and the commands may name."""

    folder: Path
    port: int
    daemun: Path
    module: str = "answer"
    processes: int = 1
    # Where the server behind this one is, if there is one.
    backend: "Place | None" = None

    @property
    def socket(self) -> Path:
        """The unix socket between the two halves; its path has to fit into 107 bytes."""
        return Path(f"/tmp/daemun-bench-{self.port}.sock")

    def write(self, template: str, name: str, **values) -> str:
        """Fills a file of conf/ in, as `name` in the folder, and returns that name."""
        text = (HERE / "conf" / template).read_text()
        values = {
            "USER": "user root;" if os.getuid() == 0 else "",
            "POOL_USER": "user = root" if os.getuid() == 0 else "", "PORT": self.port, "SOCKET": self.socket,
            "ROOT": self.folder / "root", "VENV": PEERS, "APPS": HERE / "apps",
            "MODULE": self.module, "PROCESSES": self.processes, **values,
        }
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        (self.folder / name).write_text(text)
        return name


@dataclass
class Server:
    """A running server: the processes that we started for it."""

    name: str
    place: Place
    started: list[subprocess.Popen] = field(default_factory=list)

    @property
    def roots(self) -> list[int]:
        """The processes whose trees make up the server."""
        return [process.pid for process in self.started]

    def start(self, commands: list[list[str]], cores: set[int]) -> None:
        """Runs the commands on `cores`, each in a session of its own and with its output in log.N."""

        def in_child():
            os.sched_setaffinity(0, cores)
            open_files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files_max, open_files_max))
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        for number, command in enumerate(commands):
            with open(self.place.folder / f"log.{number}", "wb") as log:
                self.started.append(subprocess.Popen(
                    [str(word) for word in command], cwd=self.place.folder, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, start_new_session=True, preexec_fn=in_child,
                    env={**os.environ, "PYTHONPATH": str(HERE / "apps"), "PYTHONDONTWRITEBYTECODE": "1"},
                ))

    def wait_until_ready(self, path: str, length: int) -> None:
        """Returns when the server answers `path` with a body of `length` bytes; raises with its log when it does not."""
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        problem = "no answer"
        while time.monotonic() < deadline:
            if any(process.poll() is not None for process in self.started):
                problem = "it has ended"
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.place.port}{path}", timeout=5) as answer:
                    if len(answer.read()) == length:
                        return
                    problem = "another body"
            except (urllib.error.URLError, OSError) as error:
                problem = str(error)
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not serve {path}: {problem}\n{self.log_tail()}")

    def body_bytes(self, path: str, headers: tuple[str, ...]) -> int:
        """How long the body is that a client with these header fields gets."""
        fields = dict(header.split(": ", 1) for header in headers)
        request = urllib.request.Request(f"http://127.0.0.1:{self.place.port}{path}", headers=fields)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return len(answer.read())

    def log_tail(self) -> str:
        """The last lines of what the processes wrote."""
        return "\n".join(log.read_text(errors="replace")[-1500:] for log in sorted(self.place.folder.glob("*log*")))

    def split(self, edge_cores: set[int], worker_cores: set[int]) -> bool:
        """Puts the Python processes on `worker_cores`, the others on `edge_cores`; False when there is only one kind."""
        pids = [process.pid for process in process_tree.members(self.roots)]
        kinds = {pid: process_tree.runs_python(pid) for pid in pids}
        for pid, is_worker in kinds.items():
            process_tree.pin(pid, worker_cores if is_worker else edge_cores)
        return len(set(kinds.values())) == 2

    def resident_kb(self) -> int:
        """Proportional share of resident memory of all processes, in kilobytes."""
        return sum(role.pss_kb for role in self.memory().values())

    def memory(self) -> dict[str, process_tree.Memory]:
        """Resident memory of the edge's and of the workers' processes, as two sums."""
        sums = {}
        for process in process_tree.members(self.roots):
            role = "worker" if process_tree.runs_python(process.pid) else "edge"
            one = process_tree.memory(process.pid)
            before = sums.get(role, process_tree.Memory(0, 0))
            sums[role] = process_tree.Memory(before.rss_kb + one.rss_kb, before.pss_kb + one.pss_kb)
        return sums

    def stop(self) -> None:
        """Ends every process of the trees: politely first, by SIGKILL after STOP_SECONDS_MAX."""
        for process in self.started:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for process in self.started:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for process in process_tree.members(self.roots):  # what outlived its parent is still in its session
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.place.socket.unlink(missing_ok=True)


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fresh_folder(folder: Path) -> Path:
    """An empty folder with the static files that some rows ask for."""
    shutil.rmtree(folder, ignore_errors=True)
    root = folder / "root"
    root.mkdir(parents=True)
    (root / "file.txt").write_bytes(b"x" * 1023 + b"\n")
    noise = random.Random(1)  # the same octets every time
    (root / "100k.bin").write_bytes(noise.randbytes(100 * 1024))
    (root / "10m.bin").write_bytes(noise.randbytes(10 * 1024 * 1024))
    (root / "page.html").write_text(page())
    return folder


def page() -> str:
    """20 KB of HTML: the head of the manual of directives, each line a row with its markup."""
    text = "<!DOCTYPE html>\n<html><head><title>Directives</title></head><body>\n<table>\n"
    for line in (TOP / "docs/directives.md").read_text().splitlines():
        cells = "".join(f'<td class="cell">{html.escape(cell.strip())}</td>' for cell in line.strip("|").split("|"))
        text += f"<tr>{cells}</tr>\n"
    return text.encode("ascii", "xmlcharrefreplace").decode()[: 20 * 1024]
