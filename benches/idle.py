"""What a connection costs that says nothing: memory of a server with thousands of them, each after one request."""
import resource
import socket
import statistics
import time
from contextlib import ExitStack, contextmanager

from rows import LENGTHS, Row
from servers import Server

ANSWER_SECONDS_MAX = 20
# What an idle connection costs is what it costs while nothing happens.
SETTLING_SECONDS = 4
# What a server allocates once is there before it is looked at.
WARM_UP_CONNECTIONS = 200
MESSAGE = b"x" * 100


def measure(row: Row, servers: list[Server], counts: list[int], rounds: int, progress) -> dict:
    """Holds connections to one server after the other; the result has the form that measure.measure gives."""
    allow_open_files(max(counts, default=0) + 100)
    cells = []
    for count in counts:
        samples = {server.name: [] for server in servers}
        for number in range(rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                progress(f"{row.name}: {count} connections, round {number + 1}, {server.name}")
                samples[server.name].append(sample(server, row, count))
        medians = {name: medians_of(taken) for name, taken in samples.items()}
        cells.append({"connections": count, "samples": samples, "medians": medians})
    memory = {
        server.name: {role: {"rss_kb": value.rss_kb, "pss_kb": value.pss_kb} for role, value in server.memory().items()}
        for server in servers
    }
    return {"row": row.name, "title": row.title, "cells": cells, "memory_kb": memory, "measure": "connection_bytes"}


def sample(server: Server, row: Row, count: int) -> dict:
    """Opens `count` connections, asks once on each, and divides by them what the server has grown."""
    with held_connections(server, row, WARM_UP_CONNECTIONS):
        pass
    before = server.resident_kb()
    with held_connections(server, row, count):
        resident_kb = server.resident_kb()
    return {"connection_bytes": (resident_kb - before) * 1024 / count, "resident_kb": resident_kb}


@contextmanager
def held_connections(server: Server, row: Row, count: int):
    """Connections that have had an answer each, for a while."""
    with ExitStack() as stack:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", server.place.port), ANSWER_SECONDS_MAX)
            stack.enter_context(connection)
            if "Upgrade: websocket" in row.headers:
                converse(connection, row)
            else:
                ask(connection, row.path)
        time.sleep(SETTLING_SECONDS)
        yield
    time.sleep(0.5)  # the server closes its ends before it is asked again


def ask(connection: socket.socket, path: str) -> None:
    """One request and its whole answer; the connection stays open."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    receive_until(connection, lambda octets: b"\r\n\r\n" in octets and len(octets.split(b"\r\n\r\n", 1)[1]) >= LENGTHS[path])


def converse(connection: socket.socket, row: Row) -> None:
    """An upgrade, then one message that comes back; the connection stays open."""
    fields = "".join(f"{field}\r\n" for field in row.headers)
    connection.sendall(f"GET {row.path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
    receive_until(connection, lambda octets: octets.endswith(b"\r\n\r\n"))
    connection.sendall(MESSAGE)
    receive_until(connection, lambda octets: octets == MESSAGE)


def receive_until(connection: socket.socket, is_whole) -> None:
    """Reads until `is_whole` says so of what has come."""
    octets = b""
    while not is_whole(octets):
        part = connection.recv(65536)
        if not part:
            raise RuntimeError("the server closed a connection that was to be kept")
        octets += part


def medians_of(samples: list[dict]) -> dict:
    """The median of the rounds. A server keeps what it once allocated, so the first round is the one that counts."""
    return {measure: statistics.median(one[measure] for one in samples[:1]) for measure in samples[0]}


def allow_open_files(count: int) -> None:
    """Raises the limit of this process, as far as it may."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if most == resource.RLIM_INFINITY else max(count, most), most))
