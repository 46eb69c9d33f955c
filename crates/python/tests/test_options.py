"""What a saver is made from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg
import pytest
from calls import put, values_of
from langgraph.checkpoint.jsonb import PostgresSaver
from langgraph.checkpoint.jsonb._conninfo import to_url
from langgraph.checkpoint.jsonb._options import Options, conninfo_of
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import PGconn
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

OF_PSYCOPG = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}


@pytest.fixture
def elsewhere(monkeypatch):
    """Without a server in its connection string a saver would look for one where there is none."""
    monkeypatch.setenv("PGHOST", "/nowhere")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("pool_class", [ConnectionPool, AsyncConnectionPool])
def test_a_pool_of_psycopg_may_have_its_server_in_its_arguments(url, schema, pool_class):
    server = conninfo_to_dict(url)
    pool = pool_class(kwargs={**OF_PSYCOPG, **server}, open=False)
    saver = PostgresSaver(pool, schema=schema)
    saver.setup()
    put(saver, "thread", x=1)
    assert values_of(saver, "thread") == {"x": 1}
    saver.close()


def test_the_arguments_of_a_pool_go_before_its_connection_string(url, schema):
    pool = ConnectionPool("host=/nowhere", kwargs=conninfo_to_dict(url), open=False)
    saver = PostgresSaver(pool, schema=schema)
    saver.setup()
    saver.close()


def test_a_pool_whose_server_is_told_by_a_function_is_refused(url):
    pool = ConnectionPool(kwargs=lambda: conninfo_to_dict(url), open=False)
    with pytest.raises(TypeError, match="kwargs"):
        PostgresSaver(pool)
    with pytest.raises(TypeError, match="connection string"):
        PostgresSaver(ConnectionPool(lambda: url, open=False))


def test_a_connection_of_psycopg_names_its_host_as_its_user_did(url, schema):
    with psycopg.connect(url) as connection:
        # It has looked the host up itself.
        conninfo = conninfo_of(connection)
    found = conninfo_to_dict(conninfo)
    assert found.get("host") == conninfo_to_dict(url).get("host")
    assert "hostaddr" not in found
    saver = PostgresSaver(conninfo, schema=schema)
    saver.setup()
    saver.close()


def test_the_host_of_a_connection_of_psycopg_is_verified_by_its_name():
    # Nothing listens there, and what was asked for can be read all the same.
    asked = make_conninfo(
        host="localhost",
        hostaddr="127.0.0.1",
        port=1,
        user="u",
        password="it's \\",
        dbname="d",
        sslmode="verify-full",
    )
    connection = psycopg.Connection(PGconn.connect(asked.encode()))
    found = to_url(conninfo_of(connection), {})
    assert found == "postgres://u:it%27s%20%5C@/d?host=localhost&port=1&sslmode=verify-full"
    addressed = psycopg.Connection(PGconn.connect(b"hostaddr=127.0.0.1 port=1 user=u"))
    assert to_url(conninfo_of(addressed), {}).startswith("postgres://u@/u?host=127.0.0.1&port=1")


def test_an_option_that_is_none_has_its_default(url, schema):
    options = dict.fromkeys(Options.__annotations__)
    assert options["schema"] is None
    with PostgresSaver.from_conn_string(url, **{**options, "settings": {"DB_SCHEMA": schema}}) as saver:
        saver.setup()
        put(saver, "thread", x=1)
        assert values_of(saver, "thread") == {"x": 1}
    PostgresSaver(url, **options)


def test_the_server_is_told_the_name_of_the_interpreter(saver):
    select = "SELECT DISTINCT application_name FROM pg_stat_activity"
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        names = connection.execute(select).fetchall()
    assert (Path(sys.executable).resolve().name,) in names
