"""What the tests share: a server, schemas for each test, savers on them, and the import.

`cargo xtask conformance` runs them.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import pytest
from langgraph.checkpoint.jsonb import PostgresSaver
from langgraph.checkpoint.postgres import PostgresSaver as LangGraphsSaver
from psycopg.conninfo import make_conninfo

T = TypeVar("T")


@pytest.fixture(scope="session")
def server() -> str:
    """The server's URL."""
    return os.environ["DATABASE_URL"]


@pytest.fixture(scope="session")
def url(server: str) -> str:
    """The server's URL, or that of a pooler before it."""
    return os.environ.get("SAVER_URL") or server


@pytest.fixture
def schema(url: str) -> Iterator[str]:
    """The name of a schema that the test has for itself."""
    name = f"test_python_{secrets.token_hex(8)}"
    yield name
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE".encode())


@pytest.fixture
def saver(url: str, schema: str) -> Iterator[PostgresSaver]:
    """A saver whose tables are there."""
    with PostgresSaver.from_conn_string(url, schema=schema) as saver:
        saver.setup()
        yield saver


@dataclass
class LangGraphs:
    """LangGraph's own saver, with its tables in a schema that the test has for itself."""

    saver: LangGraphsSaver
    schema: str
    url: str


@pytest.fixture
def langgraphs(server: str) -> Iterator[LangGraphs]:
    """LangGraph's own saver."""
    with langgraphs_on(server) as langgraphs:
        yield langgraphs


@pytest.fixture
def other_langgraphs(server: str) -> Iterator[LangGraphs]:
    """LangGraph's own saver, with other tables."""
    with langgraphs_on(server) as langgraphs:
        yield langgraphs


@contextmanager
def langgraphs_on(server: str) -> Iterator[LangGraphs]:
    name = f"test_python_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        try:
            url = make_conninfo(server, options=f"-c search_path={name}")
            with LangGraphsSaver.from_conn_string(url) as saver:
                saver.setup()
                yield LangGraphs(saver, name, url)
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


@pytest.fixture
def program(server: str, schema: str, saver: PostgresSaver) -> Callable[..., Any]:
    """Runs the program `checkpointer` on the saver's tables, and returns what it says as JSON."""
    program = os.environ.get("CHECKPOINTER_PROGRAM")
    if program is None:
        pytest.fail(
            "CHECKPOINTER_PROGRAM isn't set, which names the program `checkpointer`: run `cargo xtask conformance`, "
            "or `cargo build --workspace --bin checkpointer`, which makes target/debug/checkpointer",
            pytrace=False,
        )
    environment = {**os.environ, "DATABASE_URL": server, "DB_SCHEMA": schema}

    def run(*arguments: str) -> Any:
        command = [program, *arguments, "--yes", "--json"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ran.stdout, ran.stderr
        return json.loads(ran.stdout)

    return run


@pytest.fixture
def imports(program: Callable[..., Any]) -> Callable[[LangGraphs], Any]:
    """Imports LangGraph's threads by the program `checkpointer`, and returns its report."""

    def imports(langgraphs: LangGraphs) -> Any:
        return program("import", "--langgraph", "--schema", langgraphs.schema)

    return imports


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine in an event loop of its own."""
    return asyncio.run
