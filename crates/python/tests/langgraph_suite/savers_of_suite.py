"""A plugin for pytest that runs LangGraph's own tests on one saver.

Of the tests it keeps those that are run with LangGraph's saver for PostgreSQL, once each: what they are
given is the saver that `SAVER` names, `jsonb` or `official`, on the server of `DATABASE_URL` and with tables
that are empty. A line for each test with its outcome goes to the file `OUTCOMES`.
"""

import os
import secrets
from contextlib import asynccontextmanager, contextmanager

import psycopg
from tests import conftest_checkpointer

URL = os.environ["DATABASE_URL"]
# Where this project's saver finds the server: there, or by way of a pooler.
SAVER_URL = os.environ.get("SAVER_URL", URL)
SAVER = os.environ["SAVER"]

# What stands for "on PostgreSQL" among the parameters of a test. Everything else that a test may be
# run with has to be in memory.
WANTED = {
    "sync_checkpointer": {"postgres"},
    "async_checkpointer": {"postgres_aio"},
    "sync_store": {"in_memory"},
    "async_store": {"in_memory"},
    "cache": {"memory"},
}


# A process makes its tables once, in a schema of its own: to make them takes longer than most tests.
SCHEMA = f"test_langgraph_{secrets.token_hex(8)}"


@contextmanager
def schema():
    """The schema for one test, by its name. What the test stores goes at its end."""
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    try:
        yield SCHEMA
    finally:
        with psycopg.connect(URL, autocommit=True) as connection:
            empty(connection)


def empty(connection):
    """Empties all tables but those that say which migrations were applied."""
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename NOT LIKE %s",
        [SCHEMA, "%migrations"],
    )
    if names := ", ".join(f"{SCHEMA}.{name}" for (name,) in tables):
        connection.execute(f"TRUNCATE {names}")


def pytest_unconfigure():
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def official_conninfo(name):
    return psycopg.conninfo.make_conninfo(URL, options=f"-c search_path={name}")


@contextmanager
def sync_saver():
    with schema() as name:
        if SAVER == "official":
            from langgraph.checkpoint.postgres import PostgresSaver

            saver = PostgresSaver.from_conn_string(official_conninfo(name))
        else:
            from langgraph.checkpoint.jsonb import PostgresSaver

            saver = PostgresSaver.from_conn_string(SAVER_URL, schema=name)
        with saver as saver:
            saver.setup()
            yield saver


@asynccontextmanager
async def async_saver():
    with schema() as name:
        if SAVER == "official":
            from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

            saver = AsyncPostgresSaver.from_conn_string(official_conninfo(name))
        else:
            from langgraph.checkpoint.jsonb import AsyncPostgresSaver

            saver = AsyncPostgresSaver.from_conn_string(SAVER_URL, schema=name)
        async with saver as saver:
            await saver.setup()
            yield saver


def pytest_collection_modifyitems(config, items):
    kept, others = [], []
    for item in items:
        (kept if is_wanted(item) else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = kept


outcomes = {}


def pytest_runtest_logreport(report):
    # A test that fails at its end has passed before.
    if report.when == "call" or report.outcome != "passed":
        outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish(session):
    if "OUTCOMES" in os.environ and not hasattr(session.config, "workerinput"):
        with open(os.environ["OUTCOMES"], "w", encoding="utf-8") as file:
            file.writelines(f"{outcome} {test}\n" for test, outcome in outcomes.items())


def is_wanted(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    of_saver = parameters.keys() & {"sync_checkpointer", "async_checkpointer"}
    return bool(of_saver) and all(
        parameters[name] in values for name, values in WANTED.items() if name in parameters
    )


# `conftest.py` takes these by name, and is imported after this.
conftest_checkpointer._checkpointer_postgres = sync_saver
conftest_checkpointer._checkpointer_postgres_aio = async_saver
