"""Connection strings as libpq takes them, made into the URL that the native part takes."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import quote, unquote

# What the URL of the native part may say as parameters.
_PARAMETERS = (
    "application_name",
    "channel_binding",
    "connect_timeout",
    "options",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
)

# What libpq takes, and what changes nothing here: keepalives are always on, texts are always UTF-8,
# and GSSAPI is never used.
_WITHOUT_EFFECT = frozenset(
    {
        "client_encoding",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "sslcertmode",
        "sslcompression",
        "sslsni",
        "tcp_user_timeout",
    }
)

_VARIABLES = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGAPPNAME": "application_name",
    "PGCHANNELBINDING": "channel_binding",
    "PGCONNECT_TIMEOUT": "connect_timeout",
    "PGOPTIONS": "options",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
}

_SOCKETS = ("/var/run/postgresql", "/tmp")

_SCHEME = re.compile(r"[A-Za-z][\w+.-]*://")

_ENCODED = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.DOTALL)

_PAIR = re.compile(
    r"\s*(?P<name>\w+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?:[^\s'\\]|\\.)*))(?:\s+|$)",
    re.DOTALL,
)


def to_url(conninfo: str, environ: Mapping[str, str] = os.environ) -> str:
    """Makes a URL of a connection string, which is a URL or `name=value` pairs.

    What it lacks comes from the variables of libpq (`PGHOST`, `PGPASSWORD` …), and then from libpq's
    defaults.
    """
    is_url = _SCHEME.match(conninfo) is not None
    given = _parse_url(conninfo) if is_url else _parse_pairs(conninfo)
    if "service" in given or "PGSERVICE" in environ:
        raise ValueError("connection services aren't supported: name the host and the database")
    for variable, name in _VARIABLES.items():
        if value := environ.get(variable):
            given.setdefault(name, value)
    unknown = given.keys() - {*_PARAMETERS, *_WITHOUT_EFFECT, *_VARIABLES.values()}
    if unknown and is_url:
        # What looks like a parameter may be a part of the password, so nothing of it is shown.
        raise ValueError("the connection URL has unknown parameters, or a password that isn't percent-encoded")
    if unknown:
        raise ValueError(f"unknown connection parameters: {', '.join(sorted(unknown))}")
    return _make_url(given)


def _make_url(given: Mapping[str, str]) -> str:
    user = given.get("user") or getpass.getuser()
    credentials = quote(user, safe="")
    if password := given.get("password"):
        credentials += ":" + quote(password, safe="")
    host, address = given.get("host"), given.get("hostaddr")
    if host and address and given.get("sslmode") == "verify-full":
        raise ValueError(
            "`hostaddr` beside `host` isn't supported with sslmode=verify-full, which checks the host's name: "
            "name the host alone"
        )
    # As libpq does, which needs the host's name for TLS alone where it has the address.
    parameters = {"host": address or host or _default_host()}
    if port := given.get("port"):
        parameters["port"] = port
    for name in _PARAMETERS:
        if value := given.get(name):
            parameters[name] = value
    query = "&".join(f"{name}={quote(value, safe=',')}" for name, value in parameters.items())
    return f"postgres://{credentials}@/{quote(given.get('dbname') or user, safe='')}?{query}"


def _default_host() -> str:
    """Libpq's default is the directory of the server's socket, which its packages choose."""
    for directory in _SOCKETS:
        if os.path.exists(f"{directory}/.s.PGSQL.5432"):
            return directory
    return "localhost"


def _parse_pairs(conninfo: str) -> dict[str, str]:
    given: dict[str, str] = {}
    at = 0
    while at < len(conninfo.rstrip()):
        pair = _PAIR.match(conninfo, at)
        if pair is None:
            # The text may hold a password, so nothing of it is shown.
            raise ValueError("a connection string must be a URL or `name=value` pairs")
        value = pair["plain"] if pair["quoted"] is None else pair["quoted"]
        given[pair["name"]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        at = pair.end()
    return given


def _parse_url(url: str) -> dict[str, str]:
    scheme, rest = url.split("://", 1)
    if scheme not in ("postgres", "postgresql"):
        raise ValueError("a connection URL must begin with `postgres://` or `postgresql://`")
    credentials = ""
    if "@" in rest.partition("/")[0]:
        # They go first, as libpq reads them: a password may have `?` in it.
        credentials, _, rest = rest.partition("@")
    rest, _, query = rest.partition("?")
    authority, _, dbname = rest.partition("/")
    if "@" in dbname:
        # Libpq takes it for the name of a database, but it is likely to be the rest of a password.
        raise ValueError(
            "the connection URL has an `@` in the database's name, or a password that isn't percent-encoded: "
            "`/` is written `%2F`, and `@` in such a name `%40`"
        )
    further, at, hosts = authority.rpartition("@")
    user, _, password = f"{credentials}{at}{further}".partition(":")
    host, port = _split_ports(hosts)
    parts = {"user": user, "password": password, "host": host, "port": port, "dbname": dbname}
    given = {name: _decode(value) for name, value in parts.items() if value}
    for parameter in filter(None, query.split("&")):
        name, _, value = parameter.partition("=")
        given["sslmode" if name == "ssl" and value == "true" else name] = (
            "require" if name == "ssl" and value == "true" else _decode(value)
        )
    return given


def _decode(value: str) -> str:
    if _ENCODED.fullmatch(value):
        with suppress(UnicodeDecodeError):
            return unquote(value, errors="strict")
    # It may be a password, so nothing of it is shown.
    raise ValueError("a part of the connection URL isn't percent-encoded UTF-8: a `%` itself is written `%25`")


def _split_ports(hosts: str) -> tuple[str, str]:
    names: list[str] = []
    ports: list[str] = []
    for host in hosts.split(","):
        bracketed = re.fullmatch(r"\[(.*)\](?::(.*))?", host)
        name, port = bracketed.groups("") if bracketed else host.partition(":")[::2]
        names.append(name)
        ports.append(port)
    if not any(ports):
        return ",".join(names), ""
    return ",".join(names), ",".join(port or "5432" for port in ports)
