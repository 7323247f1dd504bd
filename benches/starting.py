"""How long a server takes to read and check its configuration."""
import statistics
import subprocess
import time

from rows import Row
from servers import Place


def measure(row: Row, places: dict[str, Place], rounds: int, progress) -> dict:
    """Has each server test its configuration; the result has the form that measure.measure gives, with the limit as a server."""
    samples = {name: [] for name in places}
    for number in range(rounds):
        for name, place in places.items() if number % 2 == 0 else reversed(list(places.items())):
            progress(f"{row.name}: round {number + 1}, {name}")
            command = [*map(str, row.servers[name](place)[0]), "-t", "-q"]
            before = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            samples[name].append({"start_ms": (time.monotonic() - before) * 1000})
    medians = {name: {"start_ms": statistics.median(one["start_ms"] for one in taken)} for name, taken in samples.items()}
    for goal in row.goals:
        medians.setdefault(goal.peer, {"start_ms": row.limit})
    cells = [{"connections": 0, "samples": samples, "medians": medians}]
    return {"row": row.name, "title": row.title, "cells": cells, "memory_kb": {}, "measure": "start_ms"}
