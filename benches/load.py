"""The load generator: wrk on a core of its own, always against this machine."""
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
LOAD_CORES = {1}


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw. `failed` counts connections and reads, `not_ok` statuses of 400 and up."""

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    max_us: int
    failed: int
    not_ok: int

    @property
    def requests_per_second(self) -> float:
        """Answers per second of wall-clock time."""
        return self.requests * 1e6 / self.duration_us


def run(port: int, path: str, connections: int, seconds: float, headers: tuple[str, ...] = ()) -> Load:
    """Sends requests over `connections` keep-alive connections for `seconds`, which wrk rounds to whole ones."""
    command = [
        "wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s",
        "--timeout", "10s", "--script", str(SCRIPT), *(word for header in headers for word in ("--header", header)),
        f"http://127.0.0.1:{port}{path}",
    ]
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds + 30,
        preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES),
    )
    if finished.returncode != 0:
        raise RuntimeError(f"wrk failed: {finished.stdout}")
    return parse(finished.stdout)


def parse(output: str) -> Load:
    """Finds the line that load.lua wrote behind wrk's own."""
    return Load(**json.loads(output.strip().splitlines()[-1]))
