"""A client of the soak: requests one after the other on a connection, and what became of each."""
import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

ANSWER_SECONDS_MAX = 30
NUMBERS = itertools.count(1)
# Paths and how often they are asked for; what a backend answers begins with the request's number and the length of its body.
PATHS = {"/http": 6, "/http-stream": 2, "/uwsgi": 4, "/scgi": 4, "/php": 4, "/memcached": 2, "/cgi": 1}


@dataclass
class Tally:
    """What became of the requests."""

    requests: int = 0
    answered: int = 0
    failed: set[int] = field(default_factory=set)
    cut: set[int] = field(default_factory=set)
    wrong: list[tuple[int, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.requests}; {self.answered} answered, {len(self.failed)} 502 or 504, {len(self.cut)} cut off, {len(self.wrong)} wrong"


class Cut(Exception):
    """The connection ended within an answer."""


async def client(port: int, until: float, tally: Tally) -> None:
    """Asks until it is time to end; a connection that ends is made anew."""
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            is_kept = True
            while is_kept and time.monotonic() < until:
                is_kept = await asyncio.wait_for(ask(reader, writer, tally), ANSWER_SECONDS_MAX)
        except (asyncio.TimeoutError, TimeoutError):
            tally.wrong.append((0, f"no answer within {ANSWER_SECONDS_MAX} seconds"))
        finally:
            writer.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: Tally) -> bool:
    """One request and its answer; tells whether the connection may serve another."""
    number, path = next(NUMBERS), random.choices(list(PATHS), PATHS.values())[0]
    body = b"x" * random.choice((0, 10, 20_000, 200_000)) if random.random() < 0.3 and path != "/memcached" else None
    tally.requests += 1
    fields = f"Content-Length: {len(body)}\r\n" if body is not None else ""
    method = "GET" if body is None else "POST"
    writer.write(f"{method} {path}?id={number} HTTP/1.1\r\nHost: soak\r\n{fields}\r\n".encode() + (body or b""))
    try:
        status, is_kept, answer = await receive(reader)
    except (Cut, ConnectionError, asyncio.IncompleteReadError):
        tally.cut.add(number)
        return False
    judge(tally, number, path, len(body or b""), status, answer)
    return is_kept


def judge(tally: Tally, number: int, path: str, length: int, status: int, answer: bytes) -> None:
    """Whether an answer is the request's own."""
    if status in (502, 504):
        tally.failed.add(number)
        return
    expected = b"memcached" if path == "/memcached" else b"%d %d" % (number, length)
    if status == 404 and path == "/memcached" or status == 200 and answer.split(b"\n")[0] == expected:
        tally.answered += 1
    else:
        tally.wrong.append((number, f"{path} was answered with {status}, {answer[:60]!r} instead of {expected!r}"))


async def receive(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """Status, whether the connection is kept, and the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    is_kept = fields.get("connection") != "close"
    if fields.get("transfer-encoding") == "chunked":
        return status, is_kept, await chunks(reader)
    if "content-length" in fields:
        return status, is_kept, await reader.readexactly(int(fields["content-length"]))
    return status, False, await reader.read()


async def chunks(reader: asyncio.StreamReader) -> bytes:
    """A body in chunks."""
    body = b""
    while True:
        line = await reader.readline()
        if not line.endswith(b"\r\n"):
            raise Cut
        part = await reader.readexactly(int(line, 16) + 2)
        if len(part) == 2:
            return body
        body += part[:-2]
