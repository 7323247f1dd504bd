"""daemun and the servers that it is compared with: for each, the commands that start it in its place."""
import sys
from pathlib import Path

from servers import HERE, PEERS, Place

NGINX = "/usr/sbin/nginx"


def nginx_static(template):
    """nginx with one of the static configurations."""
    return lambda place: [[NGINX, "-p", place.folder, "-c", place.write(template, "nginx.conf")]]


def daemun_static(template):
    """daemun's web server with the same file."""
    return lambda place: [[place.daemun, "web", "-p", place.folder, "-c", place.write(template, "nginx.conf")]]


def many_locations(place: Place, servers: int, locations: int) -> str:
    """A configuration of so many servers, with so many locations in all, each under the same paths."""
    paths = "\n".join(f"location /path{number}/ {{ return 200 ok; }}" for number in range(locations // servers))
    listen = f"listen 127.0.0.1:{place.port} backlog=1024;"
    names = [f"server_name s{number}.example.org *.w{number}.example.org;" for number in range(servers)]
    blocks = [f"server {{ {listen if number == 0 else listen.replace(' backlog=1024', '')} {name}\n{paths} }}" for number, name in enumerate(names)]
    return place.write("many-locations.conf", "nginx.conf", SERVERS="\n".join(blocks))


def nginx_many(servers: int, locations: int):
    """nginx with so many."""
    return lambda place: [[NGINX, "-p", place.folder, "-c", many_locations(place, servers, locations)]]


def daemun_many(servers: int, locations: int):
    """daemun's web server with the same."""
    return lambda place: [[place.daemun, "web", "-p", place.folder, "-c", many_locations(place, servers, locations)]]


def application_ini(place: Place, listen: str) -> str:
    """The uwsgi.ini that daemun and uWSGI share."""
    return place.write("application.ini", "uwsgi.ini", LISTEN=listen)


def daemun_application(place: Place):
    """daemun's application server, edge and workers, on a uwsgi.ini."""
    return [[place.daemun, "app", "--ini", application_ini(place, f"http-socket = 127.0.0.1:{place.port}")]]


def uwsgi(place: Place):
    """uWSGI speaking HTTP itself, as most run it: it closes every connection."""
    return [[PEERS / "bin/uwsgi", "--ini", application_ini(place, f"http-socket = 127.0.0.1:{place.port}")]]


def uwsgi_keep_alive(place: Place):
    """uWSGI's keep-alive HTTP: a worker serves one connection until that ends."""
    return [[PEERS / "bin/uwsgi", "--ini", application_ini(place, f"http11-socket = 127.0.0.1:{place.port}")]]


def uwsgi_router(place: Place):
    """uWSGI with its HTTP router process in front."""
    listen = f"http = 127.0.0.1:{place.port}\nhttp-keepalive = 60"
    return [[PEERS / "bin/uwsgi", "--ini", application_ini(place, listen)]]


def bjoern(place: Place):
    """Bjoern: HTTP and Python in one process with one thread."""
    return [[PEERS / "bin/python", PEERS / "../../../benches/apps/bjoern_main.py", place.port]]


def granian_command(place: Place, *listen):
    """Granian with as many workers as the place asks for."""
    return [PEERS / "bin/granian", "--interface", "wsgi", "--workers", place.processes, *listen, f"{place.module}:application"]


def granian(place: Place):
    """Granian alone."""
    return [granian_command(place, "--host", "127.0.0.1", "--port", place.port)]


def gunicorn(place: Place):
    """Gunicorn with its default worker, which closes every connection."""
    listen = f"127.0.0.1:{place.port}"
    return [[PEERS / "bin/gunicorn", "--workers", place.processes, "--bind", listen, f"{place.module}:application"]]


def daemun_whole(place: Place):
    """The whole way through daemun, on the files that nginx and uWSGI get."""
    web = place.write("uwsgi-pass.conf", "nginx.conf")
    ini = application_ini(place, f"socket = {place.socket}")
    return [[place.daemun, "run", "-p", place.folder, "-c", web, "--ini", ini]]


def nginx_uwsgi(place: Place):
    """The whole way through nginx, a unix socket and uWSGI."""
    ini = application_ini(place, f"socket = {place.socket}\nchmod-socket = 666")
    return [[PEERS / "bin/uwsgi", "--ini", ini], [NGINX, "-p", place.folder, "-c", place.write("uwsgi-pass.conf", "nginx.conf")]]


def nginx_granian(place: Place):
    """The whole way through nginx, kept unix connections and Granian."""
    web = place.write("proxy-pass.conf", "nginx.conf", UPSTREAM=f"unix:{place.socket}", LOG="off")
    return [granian_command(place, "--uds", place.socket), [NGINX, "-p", place.folder, "-c", web]]


def web_in_front(template: str, place: Place, **values):
    """The commands of daemun and of nginx as the web server before a backend, with the same file."""
    web = place.write(template, "nginx.conf", **values)
    return [place.daemun, "web", "-p", place.folder, "-c", web], [NGINX, "-p", place.folder, "-c", web]


def proxy(place: Place, log: str):
    """The web servers before an HTTP backend, with the argument of `access_log`."""
    return web_in_front("proxy-pass.conf", place, UPSTREAM=f"127.0.0.1:{place.backend.port}", LOG=log)


def daemun_proxy(log: str):
    """daemun before an HTTP backend."""
    return lambda place: [proxy(place, log)[0]]


def nginx_proxy(log: str):
    """nginx before an HTTP backend."""
    return lambda place: [proxy(place, log)[1]]


def haproxy(log: str):
    """HAProxy before an HTTP backend, with one thread and connections that any request may use."""

    def prepare(place: Place):
        logs = {"LOG": "", "LOG_OPTIONS": "no log"} if log == "off" else {"LOG": "log stdout format raw daemon", "LOG_OPTIONS": "log global\n    option httplog"}
        configuration = place.write("haproxy.cfg", "haproxy.cfg", UPSTREAM_PORT=place.backend.port, **logs)
        return [["/usr/sbin/haproxy", "-db", "-f", configuration]]

    return prepare


def fastcgi(place: Place):
    """The web servers before PHP-FPM."""
    return web_in_front("fastcgi-pass.conf", place, UPSTREAM=f"unix:{place.backend.socket}")


def daemun_fastcgi(place: Place):
    """daemun before PHP-FPM."""
    return [fastcgi(place)[0]]


def nginx_fastcgi(place: Place):
    """nginx before PHP-FPM."""
    return [fastcgi(place)[1]]


def php_fpm(place: Place):
    """PHP-FPM with a few processes."""
    program = sorted(Path("/usr/sbin").glob("php-fpm*"))[-1]
    configuration = place.write("php-fpm.conf", "php-fpm.conf")
    return [[program, "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", configuration]]


def websocket_echo(place: Place):
    """A backend that agrees to every upgrade and sends back what it gets."""
    return [[sys.executable, HERE / "apps/websocket_echo.py", place.port]]
