"""What can be chosen about a saver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from langgraph.checkpoint.jsonb._conninfo import to_url
from langgraph.checkpoint.jsonb._native import Client


class Options(TypedDict, total=False):
    """The options of a saver, each with its default, which `None` means as well."""

    schema: str | None
    """The schema of the tables: `checkpointer`."""
    pool_max: int | None
    """How many connections are opened at most: 10."""
    pool_min: int | None
    """How many are kept: 1."""
    pool_mode: Literal["session", "transaction"] | None
    """`transaction` behind a pooler that hands out a connection per transaction: `session`."""
    application_name: str | None
    """The name that `pg_stat_activity` shows: the interpreter's file name, such as `python3.11`."""
    synchronous_commit: bool | None
    """Whether a call returns only when what it wrote survives a crash of the server: True."""
    cache_bytes: int | None
    """About how much memory goes to remembering what is stored: 128 MiB."""
    max_thread_bytes: int | None
    """How many bytes a thread may have, before a call that makes it larger fails (`full`): no limit."""
    settings: Mapping[str, str] | None
    """Further settings, as `DB_…` variables: none."""


_VARIABLES = {
    "schema": "DB_SCHEMA",
    "pool_max": "DB_POOL_MAX",
    "pool_min": "DB_POOL_MIN",
    "pool_mode": "DB_POOL_MODE",
    "application_name": "DB_APPLICATION_NAME",
}

_OF_THE_CLIENT = {"synchronous_commit", "cache_bytes", "max_thread_bytes"}

# What of a pool's arguments for its connections says how psycopg works, not where the server is.
_OF_PSYCOPG = {"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"}


def client(conninfo: str, options: Options) -> Client:
    """Makes a client, which connects when it is first used."""
    given: Mapping[str, object] = options
    known = {*_VARIABLES, *_OF_THE_CLIENT, "settings"}
    if unknown := given.keys() - known:
        raise TypeError(
            f"unknown options: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    variables = {"DATABASE_URL": to_url(conninfo), **(options.get("settings") or {})}
    for option, variable in _VARIABLES.items():
        if (value := given.get(option)) is not None:
            variables[variable] = str(value)
    synchronous_commit = options.get("synchronous_commit")
    return Client(
        variables,
        synchronous_commit=True if synchronous_commit is None else synchronous_commit,
        cache_bytes=options.get("cache_bytes"),
        max_thread_bytes=options.get("max_thread_bytes"),
    )


def conninfo_of(conn: Any) -> str:
    """The connection string of what LangGraph's own saver takes: a connection of psycopg, or a pool.

    It is used to open other connections; those of psycopg aren't touched.
    """
    if isinstance(conn, str):
        return conn
    if isinstance(conninfo := getattr(conn, "conninfo", None), str):
        return _conninfo_of_pool(conninfo, getattr(conn, "kwargs", None) or {})
    info = getattr(conn, "info", None)
    if info is None:
        raise TypeError("a saver is made from a connection string")
    return _conninfo_of_connection(info)


def _conninfo_of_connection(info: Any) -> str:
    """The connection string with the host as its user has named it, and with the password."""
    # There is a connection, so psycopg is installed.
    from psycopg.conninfo import make_conninfo

    parameters = dict(info.get_parameters())
    if "host" in parameters:
        # Psycopg looks the host up itself, and adds the address that it has connected to.
        parameters.pop("hostaddr", None)
    if info.password:
        parameters["password"] = info.password
    return make_conninfo(**parameters)


def _conninfo_of_pool(conninfo: str, arguments: Any) -> str:
    """The connection string with the parameters that a pool has besides, as its connections have them."""
    if not isinstance(arguments, Mapping):
        raise TypeError("a pool whose `kwargs` is a function says no server: give a connection string")
    parameters = {name: arguments[name] for name in arguments.keys() - _OF_PSYCOPG}
    if not parameters:
        return conninfo
    # There is a pool, so it is installed.
    from psycopg.conninfo import make_conninfo

    return make_conninfo(conninfo, **parameters)
