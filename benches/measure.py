"""One comparison: all its servers up at once, loaded in turn, so that what the machine does meanwhile hits them alike."""
import statistics
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import idle
import load
import process_tree
import slow_clients
import starting
from rows import LENGTHS, Row
from servers import Place, Server, fresh_folder, free_port

SERVER_CORES = {0}
MEASURES = ("cpu_us", "requests_per_second", "p50_us", "p99_us", "body_bytes")


@dataclass(frozen=True)
class Settings:
    """What the command line decided."""

    daemun: Path
    folder: Path
    rounds: int
    seconds: float
    connections: tuple[int, ...]
    servers: tuple[str, ...]


def measure(row: Row, settings: Settings, progress) -> dict:
    """Runs a row and returns its samples, their medians and the memory of each server after the last load."""
    names = [name for name in row.servers if not settings.servers or name in settings.servers]
    counts = [count for count in row.connections if not settings.connections or count in settings.connections]
    with ExitStack() as stack:
        if row.kind == "start":
            places = {name: place_of(row, name, settings, None) for name in names}
            return starting.measure(row, places, settings.rounds, progress)
        backend = started_backend(row, settings, stack) if row.backend else None
        servers = [started(row, name, settings, backend, stack) for name in names]
        if row.kind == "idle":
            return idle.measure(row, servers, counts, settings.rounds, progress)
        if row.kind == "slow":
            return slow_clients.measure(row, servers, counts, settings.rounds, settings.seconds, progress)
        for server in servers:
            load.run(server.place.port, row.path, 32, 1, row.headers)  # warm up
        cells = []
        for count in counts:
            samples = {name: [] for name in names}
            for number in range(settings.rounds):
                # Every other round backwards, so that nobody always follows the same neighbour.
                for server in servers if number % 2 == 0 else reversed(servers):
                    progress(f"{row.name}: {count} connections, round {number + 1}, {server.name}")
                    samples[server.name].append(sample(server, row, count, settings.seconds))
            cells.append({"connections": count, "samples": samples, "medians": medians(samples)})
        memory = {
            server.name: {role: asdict(value) for role, value in server.memory().items()} for server in servers
        }
    return {"row": row.name, "title": row.title, "cells": cells, "memory_kb": memory}


def started_backend(row: Row, settings: Settings, stack: ExitStack) -> Place:
    """Starts who stands behind the servers of the row; `stack` stops it. Whether it answers is seen through them."""
    place = Place(fresh_folder(settings.folder / row.name / "backend"), free_port(), settings.daemun)
    server = Server("backend", place)
    stack.callback(server.stop)
    server.start(row.backend(place), load.LOAD_CORES)
    return place


def place_of(row: Row, name: str, settings: Settings, backend: Place | None) -> Place:
    """A fresh folder and a port for one server of the row."""
    folder = fresh_folder(settings.folder / row.name / name.replace(" ", "-"))
    return Place(folder, free_port(), settings.daemun, row.module, row.processes, backend)


def started(row: Row, name: str, settings: Settings, backend: Place | None, stack: ExitStack) -> Server:
    """Starts one server of the row; `stack` stops it."""
    place = place_of(row, name, settings, backend)
    server = Server(name, place)
    stack.callback(server.stop)
    cores = SERVER_CORES | load.LOAD_CORES if row.two_cores else SERVER_CORES
    server.start(row.servers[name](place), cores)
    server.wait_until_ready(row.path, LENGTHS[row.path])
    if row.two_cores:
        if not server.split(SERVER_CORES, load.LOAD_CORES):
            for process in process_tree.members(server.roots):
                process_tree.pin(process.pid, cores)  # only one kind of process: it may use both
    return server


def sample(server: Server, row: Row, connections: int, seconds: float) -> dict:
    """One load on one server."""
    before = process_tree.cpu_seconds(server.roots)
    seen = load.run(server.place.port, row.path, connections, seconds, row.headers)
    cpu_seconds = process_tree.cpu_seconds(server.roots) - before
    if seen.requests == 0 or seen.not_ok:
        raise RuntimeError(f"{server.name}: {seen}\n{server.log_tail()}")
    return {
        "cpu_us": cpu_seconds * 1e6 / seen.requests,
        "requests_per_second": seen.requests_per_second,
        "p50_us": seen.p50_us,
        "p99_us": seen.p99_us,
        "requests": seen.requests,
        "failed": seen.failed,
        "body_bytes": server.body_bytes(row.path, row.headers),
    }


def medians(samples: dict) -> dict:
    """The median of each measure, per server."""
    return {
        name: {measure: statistics.median(one[measure] for one in rounds) for measure in MEASURES}
        for name, rounds in samples.items()
    }
