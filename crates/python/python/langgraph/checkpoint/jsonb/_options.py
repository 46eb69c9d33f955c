"""What can be chosen about a saver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from langgraph.checkpoint.jsonb._conninfo import to_url
from langgraph.checkpoint.jsonb._native import Client


class Options(TypedDict, total=False):
    """The options of a saver, each with its default."""

    schema: str
    """The schema of the tables: `checkpointer`."""
    pool_max: int
    """How many connections are opened at most: 10."""
    pool_min: int
    """How many are kept: 1."""
    pool_mode: Literal["session", "transaction"]
    """`transaction` behind a pooler that hands out a connection per transaction: `session`."""
    application_name: str
    """The name that `pg_stat_activity` shows: the file name of the program."""
    synchronous_commit: bool
    """Whether a call returns only when what it wrote survives a crash of the server: True."""
    cache_bytes: int
    """About how much memory goes to remembering what is stored: 64 MiB."""
    max_thread_bytes: int
    """How many bytes a thread may have, before a call that makes it larger fails (`full`): no limit."""
    settings: Mapping[str, str]
    """Further settings, as `DB_…` variables: none."""


_VARIABLES = {
    "schema": "DB_SCHEMA",
    "pool_max": "DB_POOL_MAX",
    "pool_min": "DB_POOL_MIN",
    "pool_mode": "DB_POOL_MODE",
    "application_name": "DB_APPLICATION_NAME",
}

_OF_THE_CLIENT = {"synchronous_commit", "cache_bytes", "max_thread_bytes"}


def client(conninfo: str, options: Options) -> Client:
    """Makes a client, which connects when it is first used."""
    variables = {"DATABASE_URL": to_url(conninfo), **options.get("settings", {})}
    given: Mapping[str, object] = options
    for option, variable in _VARIABLES.items():
        if option in given:
            variables[variable] = str(given[option])
    unknown = given.keys() - {*_VARIABLES, *_OF_THE_CLIENT, "settings"}
    if unknown:
        raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
    return Client(
        variables,
        synchronous_commit=options.get("synchronous_commit", True),
        cache_bytes=options.get("cache_bytes"),
        max_thread_bytes=options.get("max_thread_bytes"),
    )


def conninfo_of(conn: Any) -> str:
    """The connection string of what LangGraph's own saver takes: a connection of psycopg, or a pool.

    It is used to open other connections; those of psycopg aren't touched.
    """
    if isinstance(conn, str):
        return conn
    if isinstance(pool := getattr(conn, "conninfo", None), str):
        return pool
    info = getattr(conn, "info", None)
    if info is None:
        raise TypeError("a saver is made from a connection string")
    password = str(info.password or "").replace("\\", "\\\\").replace("'", "\\'")
    return f"{info.dsn} password='{password}'" if password else str(info.dsn)
