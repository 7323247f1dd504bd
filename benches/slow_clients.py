"""What thousand slow clients do to the others: slowhttptest attacks a server while wrk asks it for a small file."""
import os
import statistics
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import load
from rows import Row
from servers import Server

ATTACK_SECONDS_MAX = 120
CONNECTING_SECONDS = 4
OTHERS = 4
# As /proc/net/tcp has it.
ESTABLISHED = "01"


def measure(row: Row, servers: list[Server], counts: list[int], rounds: int, seconds: float, progress) -> dict:
    """Loads each server alone and under attack. `NAME alone` stands beside NAME in the result; else it is measure.measure's form."""
    cells = []
    for count in counts:
        samples = {name: [] for server in servers for name in (server.name, f"{server.name} alone")}
        for number in range(rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                progress(f"{row.name}: {count} slow clients, round {number + 1}, {server.name}")
                alone, attacked = sample(server, row, count, seconds)
                samples[f"{server.name} alone"].append(alone)
                samples[server.name].append(attacked)
        medians = {
            name: {key: min(one[key] for one in taken) for key in taken[0]} for name, taken in samples.items()
        }
        cells.append({"connections": count, "samples": samples, "medians": medians})
    return {"row": row.name, "title": row.title, "cells": cells, "memory_kb": {}, "measure": "p99_us"}


def sample(server: Server, row: Row, count: int, seconds: float) -> tuple[dict, dict]:
    """One load without slow clients and one with them, the memory that they cost in octets each among it."""
    before_kb = server.resident_kb()
    alone = load.run(server.place.port, row.path, OTHERS, seconds)
    with attack(server, row.attack, count):
        held = connections_held(server.place.port)
        attacked = load.run(server.place.port, row.path, OTHERS, seconds)
        grown_kb = max(0, server.resident_kb() - before_kb)
    if attacked.requests == 0 or attacked.not_ok or attacked.failed:
        raise RuntimeError(f"{server.name}: others are not served: {attacked}\n{server.log_tail()}")
    if held < count * 0.9 and not row.attack_ends:
        raise RuntimeError(f"{server.name}: the attack had {held} connections of {count}")
    return {"p99_us": alone.p99_us, "client_bytes": 0}, {"p99_us": attacked.p99_us, "client_bytes": grown_kb * 1024 / count}


@contextmanager
def attack(server: Server, words: tuple[str, ...], count: int):
    """slowhttptest with `count` connections, once they have been opened."""
    url = f"http://127.0.0.1:{server.place.port}"
    command = ["slowhttptest", "-c", str(count), "-r", str(count), "-l", str(ATTACK_SECONDS_MAX), "-p", "10"]
    command += [word.replace("URL", url) for word in words]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, load.LOAD_CORES),
    )
    try:
        time.sleep(CONNECTING_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait()


def connections_held(port: int) -> int:
    """How many connections there are to `port` of this machine."""
    local = f":{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(1 for row in rows if row[1].endswith(local) and row[3] == ESTABLISHED)
