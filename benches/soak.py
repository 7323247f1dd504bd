#!/usr/bin/env python3
"""Load on daemun while its backends, of every protocol, are killed, stopped and started at random. `make soak` runs this.

Every request must end with the answer of a backend, its own and whole, or with a 502 or 504 whose reason is in the error log; an
answer that is cut off must be in the log too. Descriptors and memory of the edge must not have grown in the end.
"""
import argparse
import asyncio
import random
import re
import sys
import time
from pathlib import Path

import process_tree
from servers import TOP, Place, Server, fresh_folder, free_port
from soak_backends import Backend, backends_for, wait_until_listening
from soak_client import Tally, client

CONNECTIONS = 48
# Of all requests, how many the backends must have answered: else something else was wrong.
ANSWERED_MIN = 0.5
# What a longer life may cost at most: pools of memory and of connections are filled by then.
MEMORY_GROWTH_KB_MAX = 8 * 1024
DESCRIPTORS_GROWTH_MAX = 64
WARM_UP_SHARE = 0.2
SETTLING_SECONDS = 4


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="of the random choices (default: the time)")
    parser.add_argument("--daemun", type=Path, default=TOP / "target/release/daemun", help="the program")
    return parser.parse_args()


def started(daemun: Path, backends: list[Backend]) -> Server:
    """daemun in front of the backends."""
    place = Place(fresh_folder(TOP / "target/bench/soak/daemun"), free_port(), daemun.absolute())
    script = place.folder / "root/cgi"
    script.write_text('#!/bin/sh\nprintf "Content-Type: text/plain\\n\\n%s $(wc -c)\\n" "${QUERY_STRING#id=}"\n')
    script.chmod(0o755)
    groups = {}
    for backend in backends:
        groups.setdefault(backend.group, []).append(f"server {backend.address} fail_timeout=1s;")
    servers = {f"{group.upper()}_SERVERS": " ".join(lines) for group, lines in groups.items()}
    configuration = place.write("soak.conf", "nginx.conf", **servers)
    server = Server("daemun", place)
    server.start([[place.daemun, "web", "-p", place.folder, "-c", configuration]], {0, 1})
    wait_until_listening(("127.0.0.1", place.port))
    return server


def edge(server: Server) -> int:
    """The process that serves: the child of the one that was started."""
    return next(process.pid for process in process_tree.members(server.roots) if process.pid not in server.roots)


def burden(pid: int) -> tuple[int, int]:
    """Open descriptors and private memory in kilobytes."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), process_tree.memory(pid).rss_kb


async def unrest(backends: list[Backend], until: float) -> None:
    """Kills, stops and starts backends until it is time to end."""
    while time.monotonic() < until:
        await asyncio.sleep(random.uniform(0.05, 0.6))
        backend = random.choice(backends)
        if backend.is_busy:
            continue
        asyncio.get_running_loop().create_task(backend.suffer(random.choice(("kill", "kill", "kill", "end", "stop"))))


async def load(server: Server, backends: list[Backend], seconds: float, tally: Tally) -> None:
    """Requests on all connections, and unrest meanwhile; afterwards all backends run."""
    until = time.monotonic() + seconds
    clients = [client(server.place.port, until, tally) for _ in range(CONNECTIONS)]
    await asyncio.gather(unrest(backends, until), *clients)
    while any(backend.is_busy for backend in backends):
        await asyncio.sleep(0.1)
    await asyncio.sleep(SETTLING_SECONDS)


def unexplained(server: Server, tally: Tally) -> set[int]:
    """Requests that failed and of which the error log says nothing."""
    logged = set()
    with open(server.place.folder / "error.log", errors="replace") as log:
        for line in log:
            if found := re.search(r'request: "\w+ \S*[?&]id=(\d+)', line):
                if 'upstream: "' in line or "CGI script" in line:
                    logged.add(int(found[1]))
    return (tally.failed | tally.cut) - logged


def alerts(server: Server) -> list[str]:
    """Lines of the error log that no dying backend explains."""
    wrong = re.compile(r"\[(alert|emerg|crit)\]|panicked")
    with open(server.place.folder / "error.log", errors="replace") as log:
        # A unix socket that is gone is told as nginx tells it.
        return [line for line in log if wrong.search(line) and "connect() to unix:" not in line]


async def soak(options: argparse.Namespace, server: Server, backends: list[Backend]) -> list[str]:
    """What was wrong."""
    tally, pid = Tally(), edge(server)
    await load(server, backends, options.seconds * WARM_UP_SHARE, tally)
    before = burden(pid)
    await load(server, backends, options.seconds * (1 - WARM_UP_SHARE), tally)
    wrong = [f"the edge {pid} is gone"] if edge(server) != pid else []
    after = burden(pid)
    print(f"requests: {tally}")
    print(f"descriptors: {before[0]} after the warm-up, {after[0]} in the end; memory: {before[1]} KB, {after[1]} KB")
    wrong += [f"request {number}: {what}" for number, what in tally.wrong]
    wrong += [f"request {number} failed, and the log does not say why" for number in sorted(unexplained(server, tally))]
    wrong += alerts(server)
    if tally.answered < ANSWERED_MIN * tally.requests:
        wrong.append(f"only {tally.answered} of {tally.requests} requests were answered")
    if after[0] > before[0] + DESCRIPTORS_GROWTH_MAX:
        wrong.append(f"descriptors have grown from {before[0]} to {after[0]}")
    if after[1] > before[1] + MEMORY_GROWTH_KB_MAX:
        wrong.append(f"memory has grown from {before[1]} to {after[1]} KB")
    return wrong


def main() -> int:
    """1 when anything was wrong."""
    options = arguments()
    random.seed(options.seed)
    print(f"seed {options.seed}, {options.seconds:.0f} seconds", flush=True)
    folder = fresh_folder(TOP / "target/bench/soak/backends")
    backends = backends_for(folder)
    server = None
    try:
        for backend in backends:
            backend.start()
        server = started(options.daemun, backends)
        wrong = asyncio.run(soak(options, server, backends))
    finally:
        if server:
            server.stop()
        for backend in backends:
            backend.kill()
    for line in wrong[:40]:
        print(f"WRONG: {line.strip()}")
    print("passed" if not wrong else f"{len(wrong)} findings; {server.place.folder}/error.log has more")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
