#!/usr/bin/env python3
"""Measures daemun beside the servers that it replaces. `make bench` runs this; README.md in this folder tells how."""
import argparse
import signal
import sys
from pathlib import Path

import report
from measure import Settings, measure
from rows import ROWS
from servers import PEERS, TOP


def words(text: str) -> tuple[str, ...]:
    """A list separated by commas."""
    return tuple(word for word in text.split(",") if word)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=words, default=(), metavar="NAMES", help="rows whose names start so (default: all)")
    parser.add_argument("--servers", type=words, default=(), metavar="NAMES", help="only these servers")
    parser.add_argument("--connections", type=words, default=(), metavar="NUMBERS", help="only these numbers of connections")
    parser.add_argument("--rounds", type=int, default=3, help="alternations (default: 3)")
    parser.add_argument("--seconds", type=float, default=3, help="length of one load (default: 3)")
    parser.add_argument("--daemun", type=Path, default=TOP / "target/release/daemun", help="the program")
    parser.add_argument("--without-daemun", action="store_true", help="measure the peers alone")
    parser.add_argument("--json", type=Path, default=TOP / "target/bench/bench.json", help="where the JSON goes")
    parser.add_argument("--list", action="store_true", help="say which rows and servers there are")
    return parser.parse_args()


def settings_from(options: argparse.Namespace, rows) -> Settings:
    """What the options mean; exits when something that they need is missing."""
    servers = options.servers or tuple({name: None for row in rows for name in row.servers})
    if options.without_daemun:
        servers = tuple(name for name in servers if name != report.OURS)
    elif report.OURS in servers and not options.daemun.is_file():
        sys.exit(f"{options.daemun} is not there: run `make build`, or measure --without-daemun")
    if not PEERS.is_dir():
        sys.exit(f"{PEERS} is not there: run scripts/install-peers")
    connections = tuple(int(count) for count in options.connections)
    return Settings(
        options.daemun.absolute(), TOP / "target/bench", options.rounds, options.seconds, connections, servers
    )


def show_progress(text: str) -> None:
    """One line on a terminal that the next overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Measures the chosen rows; 1 when a goal was missed, 2 when a server did not run."""
    options = arguments()
    rows = [row for row in ROWS if not options.rows or row.name.startswith(options.rows)]
    if options.list:
        for row in rows:
            print(f"{row.name}: {row.title}: {', '.join(row.servers)}")
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    settings = settings_from(options, rows)
    results = []
    failed = False
    for row in rows:
        try:
            result = measure(row, settings, show_progress)
        except RuntimeError as error:
            failed = True
            print(f"\n{row.title}\n  not measured: {error}", flush=True)
            continue
        finally:
            show_progress("")
        report.add_verdicts(row, result)
        results.append(result)
        print(report.table(result), flush=True)
    print(report.memory_table(results))
    report.write(options.json, sys.argv, options.daemun, results)
    print(f"\nwritten: {options.json}")
    missed = any(not goal["reached"] for result in results for cell in result["cells"] for goal in cell["goals"])
    return 2 if failed else int(missed)


if __name__ == "__main__":
    sys.exit(main())
