"""What the tests share: a server, a schema for each test, and savers on it.

`cargo xtask conformance` runs them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import psycopg
import pytest
from langgraph.checkpoint.jsonb import PostgresSaver

T = TypeVar("T")


@pytest.fixture(scope="session")
def url() -> str:
    """The server's URL, or that of a pooler before it."""
    return os.environ.get("SAVER_URL") or os.environ["DATABASE_URL"]


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


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine in an event loop of its own."""
    return asyncio.run
