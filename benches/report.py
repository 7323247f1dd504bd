"""What the measurements say: goals, the printed table and the JSON file."""
import json
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from rows import Goal, Row
from servers import PEERS, TOP

OURS = "daemun"
HEADINGS = ("connections", "server", "CPU us/request", "daemun/peer", "goal", "requests/s", "p50 ms", "p99 ms")
# What the other measures are called, and how many of their unit make the one that is shown.
SHOWN = {"connection_bytes": ("bytes/connection", 1), "start_ms": ("ms", 1), "p99_us": ("p99 ms", 1000)}


def ratio(medians: dict, peer: str, measure: str) -> float | None:
    """daemun's median divided by the peer's; None where one of them was not measured."""
    if peer == OURS or OURS not in medians or peer not in medians:
        return None
    return medians[OURS][measure] / medians[peer][measure]


def judge(goal: Goal, cell: dict) -> dict | None:
    """Whether a goal was reached with these connections; None where it says nothing about them."""
    value = ratio(cell["medians"], goal.peer, goal.measure)
    if value is None or cell["connections"] < goal.connections_min:
        return None
    return {"peer": goal.peer, "measure": goal.measure, "at_most": goal.ratio, "ratio": value, "reached": value <= goal.ratio}


def add_verdicts(row: Row, result: dict) -> None:
    """Writes ratios and goals into the result of a row."""
    for cell in result["cells"]:
        measure = result.get("measure", "cpu_us")
        cell["ratios"] = {name: ratio(cell["medians"], name, measure) for name in cell["medians"] if name != OURS}
        cell["goals"] = [verdict for goal in row.goals if (verdict := judge(goal, cell))]


def table(result: dict) -> str:
    """The result of one row as text."""
    measure = result.get("measure", "cpu_us")
    is_load = measure == "cpu_us"
    heading, unit = SHOWN.get(measure, ("", 1))
    lines = [HEADINGS if is_load else ("connections", "server", heading, "daemun/peer", "goal", "resident MB" if measure == "connection_bytes" else "")]
    for cell in result["cells"]:
        for name, medians in cell["medians"].items():
            value = cell["ratios"].get(name)
            compared = ("" if value is None else f"{value:.2f}", goals_text(cell["goals"], name))
            if is_load:
                lines.append((
                    str(cell["connections"]), name, f"{medians['cpu_us']:.1f}", *compared,
                    f"{medians['requests_per_second']:.0f}", f"{medians['p50_us'] / 1000:.2f}", f"{medians['p99_us'] / 1000:.2f}",
                ))
            else:
                shown = f"{medians[measure] / unit:.{0 if unit == 1 else 2}f}"
                resident = f"{medians['resident_kb'] / 1024:.1f}" if "resident_kb" in medians else ""
                lines.append((str(cell["connections"]), name, shown, *compared, resident))
    return f"\n{result['title']}\n" + aligned(lines)


def goals_text(verdicts: list[dict], peer: str) -> str:
    """The goals towards one peer as the table shows them."""
    return ", ".join(goal_text(verdict) for verdict in verdicts if verdict["peer"] == peer)


def goal_text(verdict: dict) -> str:
    """A goal as the table shows it."""
    name = {"p99_us": "p99", "body_bytes": "size", "resident_kb": "resident"}.get(verdict["measure"])
    measure = f"{name} {verdict['ratio']:.2f} " if name else ""
    return f"{measure}<= {verdict['at_most']:.2f} {'reached' if verdict['reached'] else 'MISSED'}"


def memory_table(results: list[dict]) -> str:
    """Resident memory of all servers, each after the last load of its row."""
    lines = [("row", "server", "role", "RSS MB", "PSS MB")]
    for result in results:
        for name, roles in result["memory_kb"].items():
            for role, value in sorted(roles.items()):
                lines.append((result["row"], name, role, f"{value['rss_kb'] / 1024:.1f}", f"{value['pss_kb'] / 1024:.1f}"))
    return "\n(d) resident memory after the last load (edge: no Python in the process; worker: the others)\n" + aligned(lines)


def aligned(lines: list[tuple]) -> str:
    """Columns: text to the left, numbers to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  " + "  ".join(
            text.rjust(width) if text[:1].isdigit() else text.ljust(width) for text, width in zip(line, widths)
        ).rstrip()
        for line in lines
    )


def first_line(*command) -> str | None:
    """The first line that a program prints, on either stream, or None."""
    try:
        finished = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20, cwd=TOP)
    except OSError:
        return None
    lines = (finished.stdout + finished.stderr).strip().splitlines()
    return lines[0] if lines else None


def versions(daemun: Path) -> dict:
    """What was measured, on what."""
    peers = ("bjoern", "granian", "gunicorn", "uWSGI")
    script = f"import importlib.metadata as m; print({{name: m.version(name) for name in {peers}}})"
    return {
        "daemun": first_line(daemun, "--version"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
        "nginx": first_line("/usr/sbin/nginx", "-v"),
        "haproxy": first_line("/usr/sbin/haproxy", "-v"),
        "php-fpm": first_line("php-fpm8.2", "-v"),
        "wrk": first_line("wrk", "-v"),
        "peers": first_line(PEERS / "bin/python", "-c", script),
        "python": first_line(PEERS / "bin/python", "--version"),
        "kernel": platform.release(),
        "processor": processor(),
    }


def processor() -> str:
    """The name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def write(path: Path, command: list[str], daemun: Path, results: list[dict]) -> None:
    """Writes everything, samples included, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "versions": versions(daemun),
        "results": results,
    }
    path.write_text(json.dumps(whole, indent=2) + "\n")
