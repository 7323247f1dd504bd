"""An HTTP backend of the soak on the port of its command line: keeps connections, answers late, at length and in pieces."""
import asyncio
import random
import sys
from urllib.parse import parse_qs, urlsplit


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            target = urlsplit(head.split(" ")[1])
            first = f"{parse_qs(target.query)['id'][0]} {len(body)}\n".encode()
            await asyncio.sleep(random.choice((0, 0, 0.01, 0.05)))
            await answer(writer, first, target.path.endswith("stream"))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def answer(writer: asyncio.StreamWriter, first: bytes, is_streamed: bool) -> None:
    """A short or a long answer, at once or in pieces."""
    rest = b"y" * random.choice((0, 1_000, 100_000))
    if not is_streamed:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(first) + len(rest)) + first + rest)
        return await writer.drain()
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (first, rest, rest):
        if part:
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
            await writer.drain()
            await asyncio.sleep(0.01)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def main() -> None:
    """Listens until the end."""
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=512)
    await server.serve_forever()


asyncio.run(main())
