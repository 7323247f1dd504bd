"""Reads DATABASE_URL, the way most hosting platforms hand a database to an application."""
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

MYSQL_SCHEMES = ("mysql", "mariadb")


def database_from(url, sqlite_path: Path) -> dict:
    """Returns Django's description of the database that `url` names, or of the SQLite file when there is no URL.

    `mysql://user:password@host:3306/name`, or, over a unix socket, `mysql://user:password@/name?unix_socket=/path`.
    """
    if not url:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": sqlite_path, "OPTIONS": {"timeout": 20}}

    parts = urlsplit(url)
    if parts.scheme not in MYSQL_SCHEMES:
        raise ValueError(f"DATABASE_URL: scheme {parts.scheme!r} is none of {', '.join(MYSQL_SCHEMES)}")

    # PyMySQL stands in for the C client that Django asks for, so that nothing has to be compiled.
    import pymysql

    pymysql.install_as_MySQLdb()

    options = {"charset": "utf8mb4"}
    for name, values in parse_qs(parts.query).items():
        options[name] = values[-1]
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
