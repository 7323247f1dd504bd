"""The comparisons: what is measured, with whom, and what daemun has to reach."""
from dataclasses import dataclass
from typing import Callable

import contestants

STATIC = "/file.txt"


@dataclass(frozen=True)
class Goal:
    """daemun's `measure` divided by `peer`'s has to be at most `ratio`, from `connections_min` connections on."""

    peer: str
    ratio: float
    measure: str = "cpu_us"
    connections_min: int = 1


@dataclass(frozen=True)
class Row:
    """One comparison. `servers` maps a name to the function that prepares a place and returns the commands."""

    name: str
    title: str
    servers: dict[str, Callable]
    goals: tuple[Goal, ...] = ()
    path: str = "/"
    connections: tuple[int, ...] = (1, 32, 256)
    module: str = "answer"
    processes: int = 1
    two_cores: bool = False


APPLICATION_SERVERS = {
    "daemun": contestants.daemun_application,
    "bjoern": contestants.bjoern,
    "granian": contestants.granian,
    "uwsgi": contestants.uwsgi,
    "uwsgi-keep-alive": contestants.uwsgi_keep_alive,
    "uwsgi-router": contestants.uwsgi_router,
    "gunicorn": contestants.gunicorn,
}

ROWS = (
    Row(
        "static-installed", "(a) 1 KB file, nginx as Debian installs it",
        {"daemun": contestants.daemun_static("static-installed.conf"), "nginx": contestants.nginx_static("static-installed.conf")},
        (Goal("nginx", 0.55),), path=STATIC,
    ),
    Row(
        "static-tuned", "(a) 1 KB file, nginx tuned: open_file_cache, no log",
        {"daemun": contestants.daemun_static("static-tuned.conf"), "nginx": contestants.nginx_static("static-tuned.conf")},
        (Goal("nginx", 0.75),), path=STATIC,
    ),
    Row(
        "wsgi", "(b) 1 KB WSGI application, one worker, all on one core", APPLICATION_SERVERS,
        (
            Goal("granian", 0.80, connections_min=32),
            Goal("bjoern", 1.10, connections_min=32),
            Goal("uwsgi", 0.35, connections_min=32),
            Goal("gunicorn", 0.15, connections_min=32),
        ),
    ),
    Row(
        "wsgi-two-cores", "(b) the same, edge on one core, worker on the other (shared with wrk)",
        {name: APPLICATION_SERVERS[name] for name in ("daemun", "bjoern", "granian", "uwsgi")}, two_cores=True,
    ),
    Row(
        "whole", "(c) 1 KB through web server and one worker",
        {"daemun": contestants.daemun_whole, "nginx+uwsgi": contestants.nginx_uwsgi, "nginx+granian": contestants.nginx_granian},
        (Goal("nginx+uwsgi", 0.35),),
    ),
    Row(
        "sleep", "(e) 5 ms of sleep, 4 workers",
        {name: APPLICATION_SERVERS[name] for name in ("daemun", "uwsgi", "uwsgi-router")},
        (Goal("uwsgi", 1.0, measure="p99_us"),), connections=(64,), module="sleeper", processes=4,
    ),
)
