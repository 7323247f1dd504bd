"""What the processes of a server cost, read from /proc: CPU time, memory, and on which cores they may run."""
import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One process as /proc/PID/stat shows it. CPU times include those of children that it has waited for."""

    pid: int
    parent: int
    session: int
    cpu_seconds: float


@dataclass(frozen=True)
class Memory:
    """Resident memory in kilobytes; PSS shares out pages that several processes map."""

    rss_kb: int
    pss_kb: int


def parse_stat(text: str) -> Process:
    """Reads a line of /proc/PID/stat, whose second field, the name, may itself hold spaces and parentheses."""
    pid = int(text[: text.index(" ")])
    fields = text[text.rindex(")") + 2 :].split()
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return Process(pid, parent=int(fields[1]), session=int(fields[3]), cpu_seconds=ticks / TICKS_PER_SECOND)


def members(roots: list[int]) -> list[Process]:
    """The processes of the trees below `roots`, each of which leads a session of its own, and of those sessions."""
    processes = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                processes.append(parse_stat(Path(entry.path, "stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    inside = set(roots)
    found = [process for process in processes if process.pid in inside]
    grew = True
    while grew:
        more = [
            process
            for process in processes
            if process.pid not in inside and (process.parent in inside or process.session in roots)
        ]
        inside.update(process.pid for process in more)
        found += more
        grew = bool(more)
    return found


def cpu_seconds(roots: list[int]) -> float:
    """User and system time of all processes of the trees so far."""
    return sum(process.cpu_seconds for process in members(roots))


def runs_python(pid: int) -> bool:
    """Whether this process is a Python interpreter, or has one in it as uWSGI has."""
    try:
        name = Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:
        return False
    return name.startswith(("python", "uwsgi"))


def memory(pid: int) -> Memory:
    """Resident memory of one process."""
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        values[name] = int(value)
    return Memory(rss_kb=values["Rss:"], pss_kb=values["Pss:"])


def pin(pid: int, cores: set[int]) -> None:
    """Lets all threads of a process run on `cores` only; threads made later inherit that."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            os.sched_setaffinity(int(task), cores)
        except ProcessLookupError:
            continue
