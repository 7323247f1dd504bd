"""The comparisons: what is measured, with whom, and what daemun has to reach."""
from dataclasses import dataclass
from typing import Callable

import contestants

STATIC = "/file.txt"
# What the rows ask for, and how long each is without a content coding; servers.fresh_folder writes the files.
WEBSOCKET = "/websocket"
LENGTHS = {"/": 1024, STATIC: 1024, WEBSOCKET: 3, "/100k.bin": 100 * 1024, "/10m.bin": 10 * 1024 * 1024, "/gzip1/page.html": 20 * 1024, "/gzip6/page.html": 20 * 1024, "/return": 3, "/path7/": 2}
# The 99th percentile of the others, attacked by that of the same server alone; on machines of two cores it moves by itself.
SLOW_RATIO = 1.5
GZIP = ("Accept-Encoding: gzip",)
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


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
    headers: tuple[str, ...] = ()
    # What is done instead of a load: "idle" holds connections, "start" reads the configuration, "slow" is an attack.
    kind: str = "load"
    # The words of slowhttptest, with URL for the server's.
    attack: tuple[str, ...] = ()
    # Whether the server closes the connections of the attack by itself.
    attack_ends: bool = False
    # What a goal of a row without such a peer is compared with.
    limit: float = 0
    # Who stands behind the servers, on the load generator's core, and is not measured.
    backend: Callable | None = None


APPLICATION_SERVERS = {
    "daemun": contestants.daemun_application,
    "bjoern": contestants.bjoern,
    "granian": contestants.granian,
    "uwsgi": contestants.uwsgi,
    # docs/decisions/0007: the same work as ours, so the goal's row; `uwsgi` closes every connection and shows beside it.
    "uwsgi-keep-alive": contestants.uwsgi_keep_alive,
    "uwsgi-router": contestants.uwsgi_router,
    "gunicorn": contestants.gunicorn,
}


def static(*, goals: tuple[Goal, ...], name: str, title: str, **others) -> Row:
    """A row on the files and settings of static-tuned.conf."""
    template = "static-tuned.conf"
    servers = {"daemun": contestants.daemun_static(template), "nginx": contestants.nginx_static(template)}
    return Row(name, title, servers, goals, **others)


def proxied(name: str, title: str, log: str, path: str, goals: tuple[Goal, ...]) -> Row:
    """A row on an HTTP backend behind the servers, with connections that are kept on both sides."""
    servers = {"daemun": contestants.daemun_proxy(log), "nginx": contestants.nginx_proxy(log), "haproxy": contestants.haproxy(log)}
    backend = contestants.nginx_static("static-tuned.conf")
    return Row(name, f"proxy_pass, {title}", servers, goals, path=path, connections=(32, 256), backend=backend)


ROWS = (
    Row(
        "static-installed", "(a) 1 KB file, nginx as Debian installs it",
        {"daemun": contestants.daemun_static("static-installed.conf"), "nginx": contestants.nginx_static("static-installed.conf")},
        (Goal("nginx", 0.55),), path=STATIC,
    ),
    static(name="static-tuned", title="(a) 1 KB file, nginx tuned: open_file_cache, no log", goals=(Goal("nginx", 0.75),), path=STATIC),
    Row(
        "wsgi", "(b) 1 KB WSGI application, one worker, all on one core", APPLICATION_SERVERS,
        (
            Goal("granian", 0.80, connections_min=32),
            Goal("bjoern", 1.10, connections_min=32),
            Goal("uwsgi-keep-alive", 0.35, connections_min=32),
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
    static(name="file-100k", title="100 KB file", goals=(Goal("nginx", 0.85),), path="/100k.bin", connections=(32,)),
    static(name="file-10m", title="10 MB file", goals=(Goal("nginx", 1.0),), path="/10m.bin", connections=(8,)),
    *(
        static(
            name=f"gzip-{level}", title=f"20 KB page, gzip at level {level}", path=f"/gzip{level}/page.html", connections=(32,),
            headers=GZIP, goals=(Goal("nginx", 0.75), Goal("nginx", 1.05, measure="body_bytes")),
        )
        for level in (1, 6)
    ),
    *(
        Row(
            f"cache-{size}", f"{size} answer kept by proxy_cache",
            {"daemun": contestants.daemun_static("cache.conf"), "nginx": contestants.nginx_static("cache.conf")},
            (Goal("nginx", ratio),), path=path, connections=(32,),
        )
        for size, path, ratio in (("1k", STATIC, 0.75), ("100k", "/100k.bin", 0.85))
    ),
    static(name="return", title="return 200", goals=(Goal("nginx", 0.95),), path="/return", connections=(32, 256)),
    static(
        name="idle", title="idle keep-alive connections", goals=(Goal("nginx", 1.0, measure="connection_bytes"),),
        path=STATIC, connections=(10_000,), kind="idle",
    ),
    Row(
        "many-start", "1,000 servers and 10,000 locations: reading them",
        {"daemun": contestants.daemun_many(1_000, 10_000), "nginx": contestants.nginx_many(1_000, 10_000)},
        (Goal("half a second", 1.0, measure="start_ms"),), kind="start", limit=500,
    ),
    Row(
        "many", "1,000 servers and 10,000 locations: a request",
        {
            "daemun": contestants.daemun_many(1_000, 10_000), "daemun of 10 locations": contestants.daemun_many(1, 10),
            "nginx": contestants.nginx_many(1_000, 10_000), "nginx of 10 locations": contestants.nginx_many(1, 10),
        },
        (Goal("daemun of 10 locations", 1.10),), path="/path7/", connections=(32,), headers=("Host: s0.example.org",),
    ),
    *(
        static(
            name=f"slow-{name}", title=f"1 KB file for others while slowhttptest has 1,000 clients with slow {title}",
            goals=(Goal("daemun alone", SLOW_RATIO, measure="p99_us"),), path=STATIC, connections=(1_000,), kind="slow", **attack,
        )
        for name, title, attack in (
            ("head", "heads", {"attack": ("-H", "-i", "2", "-x", "24", "-t", "GET", "-u", "URL/file.txt")}),
            ("body", "bodies", {"attack": ("-B", "-i", "2", "-s", "8192", "-x", "10", "-t", "POST", "-u", "URL/upload")}),
            ("range", "ranges", {"attack": ("-R", "-a", "5", "-b", "3000", "-t", "HEAD", "-u", "URL/10m.bin"), "attack_ends": True}),
            ("read", "reading", {"attack": ("-X", "-w", "10", "-y", "20", "-n", "2", "-z", "16", "-k", "1", "-u", "URL/10m.bin")}),
        )
    ),
    proxied("proxy-1kb", "1 KB answers of a fast backend, access log as installed", "access.log", STATIC, (Goal("nginx", 0.75), Goal("haproxy", 0.90))),
    proxied("proxy-tuned", "1 KB answers, no access log", "off", STATIC, (Goal("haproxy", 0.90),)),
    proxied("proxy-100kb", "100 KB answers, no access log", "off", "/100k.bin", (Goal("nginx", 0.75), Goal("haproxy", 0.90))),
    Row(
        "fastcgi", "fastcgi_pass, 1 KB pages of PHP-FPM",
        {"daemun": contestants.daemun_fastcgi, "nginx": contestants.nginx_fastcgi}, (Goal("nginx", 1.0),),
        connections=(32,), backend=contestants.php_fpm,
    ),
    Row(
        "websocket", "idle WebSockets through proxy_pass, each after one message",
        {"daemun": contestants.daemun_proxy("off"), "nginx": contestants.nginx_proxy("off")},
        (Goal("nginx", 1.0, measure="resident_kb"), Goal("nginx", 1.0, measure="connection_bytes")),
        path=WEBSOCKET, connections=(1_000,), headers=UPGRADE, kind="idle", backend=contestants.websocket_echo,
    ),
)
