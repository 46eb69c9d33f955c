"""What the savers do beside storing: where they may be called from, and what becomes of their calls."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import uvloop
from calls import checkpoint_with, config_of, is_waited_for, locked, put, values_of
from langgraph.checkpoint.jsonb import AsyncPostgresSaver, CheckpointerError, PostgresSaver
from langgraph.checkpoint.jsonb.aio import AsyncPostgresSaver as FromAio
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg.conninfo import make_conninfo


def test_a_saver_is_found_where_langgraphs_is():
    assert FromAio is AsyncPostgresSaver


def test_a_copy_shares_the_connections(saver):
    put(saver, "thread", x=1)
    clone = copy.copy(saver)
    assert clone._native is saver._native
    clone.serde = JsonPlusSerializer(pickle_fallback=True)
    assert values_of(clone, "thread") == {"x": 1}
    assert saver.serde is not clone.serde
    assert saver.with_allowlist([("module", "Class")])._native is saver._native


def test_a_saver_is_pickled_and_sent_to_a_process_that_is_spawned(saver):
    put(saver, "thread", x=1)
    assert values_of(pickle.loads(pickle.dumps(saver)), "thread") == {"x": 1}
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        assert pool.apply(values_of, (saver, "thread")) == {"x": 1}


def test_a_child_that_is_forked_connects_anew(saver):
    def work(number):
        assert values_of(saver, "thread") == {"x": 1}
        put(saver, f"child-{number}", x=number)

    put(saver, "thread", x=1)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=[number]) for number in range(4)]
    for child in children:
        child.start()
    put(saver, "thread", x=1)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    assert [values_of(saver, f"child-{number}") for number in range(4)] == [
        {"x": number} for number in range(4)
    ]


def test_a_forked_child_has_an_event_loop_of_its_own(saver):
    async def again():
        return (await saver.aget_tuple(config_of("thread"))).checkpoint["channel_values"]

    put(saver, "thread", x=1)
    assert asyncio.run(again()) == {"x": 1}
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if asyncio.run(again()) == {"x": 1} else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert asyncio.run(again()) == {"x": 1}


def test_several_loops_call_one_saver(saver):
    async def work(number):
        thread_id = f"thread-{number}"
        checkpoint = checkpoint_with({"n": number})
        versions = checkpoint["channel_versions"]
        await saver.aput(config_of(thread_id), checkpoint, {}, versions)
        # A call that waits, within the loop.
        assert values_of(saver, thread_id) == {"n": number}
        return (await saver.aget_tuple(config_of(thread_id))).checkpoint["channel_values"]["n"]

    def loop_of(number):
        run = uvloop.run if number % 2 else asyncio.run
        return run(work(number))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(loop_of, range(16))) == list(range(16))


def test_a_call_that_is_cancelled_leaves_the_loop_and_the_saver_in_order(url, schema, run):
    async def cancelled():
        async with AsyncPostgresSaver.from_conn_string(url, schema=schema) as saver:
            await saver.setup()
            for number in range(20):
                checkpoint = checkpoint_with({"n": number})
                call = saver.aput(
                    config_of("thread"), checkpoint, {}, checkpoint["channel_versions"]
                )
                task = asyncio.ensure_future(call)
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await saver.adelete_thread("thread")
            return await saver.aget_tuple(config_of("thread"))

    assert run(cancelled()) is None


@pytest.mark.parametrize("kind", ["thread", "task", "closed"])
def test_a_program_may_end_with_calls_under_way(url, schema, saver, kind):
    command = [sys.executable, Path(__file__).parent / "ends.py", url, schema, kind]
    with locked(url, f"{schema}.heads"):
        ended = subprocess.run(command, timeout=20, stderr=subprocess.PIPE, text=True)
    assert ended.stderr == ""
    assert ended.returncode == 0


def test_a_child_that_was_forked_ends_without_what_its_parent_uses(url, schema, saver):
    command = [sys.executable, Path(__file__).parent / "forked.py", url, schema]
    ended = subprocess.run(command, timeout=60, stderr=subprocess.PIPE, text=True)
    assert ended.stderr == ""
    assert ended.returncode == 0


def test_an_error_has_all_its_causes(url, schema):
    with PostgresSaver.from_conn_string(url, schema=schema) as saver:
        with pytest.raises(CheckpointerError) as raised:
            put(saver, "thread", x=1)
    error = raised.value
    assert "setup" in str(error) or "migrat" in str(error)
    causes = []
    cause = error.__cause__
    while cause is not None:
        causes.append(str(cause))
        cause = cause.__cause__
    assert causes and all(cause in str(error) for cause in causes)
    assert error.kind in {"internal", "invalid"}
    again = pickle.loads(pickle.dumps(error))
    assert (again.kind, str(again)) == (error.kind, str(error))


def test_an_error_quotes_no_row_and_breaks_no_line(saver, url, schema):
    with psycopg.connect(url) as connection:
        refuse = f"ALTER TABLE {schema}.checkpoints ADD CONSTRAINT full_up CHECK (false) NOT VALID"
        connection.execute(refuse.encode())
    with pytest.raises(CheckpointerError, match="full_up") as raised:
        put(saver, "thread", secret="hunter2")
    assert raised.value.sqlstate == "23514"
    assert "23514" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    shown = "".join(traceback.format_exception(raised.value))
    assert "Failing row" not in shown
    assert "DETAIL" not in shown
    with pytest.raises(CheckpointerError, match=r"a\\nb") as raised:
        saver.copy_thread("a\nb", "c")
    assert "\n" not in str(raised.value)


def test_what_cannot_be_stored_is_refused_with_its_kind(saver):
    with pytest.raises(CheckpointerError) as raised:
        put(saver, "t" * 600, x=1)
    assert raised.value.kind == "invalid"
    with pytest.raises(TypeError):
        saver.prune("thread")
    with pytest.raises(ValueError, match="strategy"):
        saver.prune(["thread"], strategy="other")
    with pytest.raises(TypeError):
        PostgresSaver(object())


def test_a_thread_that_is_full_is_left_as_it_was(url, schema):
    with PostgresSaver.from_conn_string(url, schema=schema, max_thread_bytes=10_000) as saver:
        saver.setup()
        put(saver, "thread", x=1)
        with pytest.raises(CheckpointerError) as raised:
            put(saver, "thread", x=os.urandom(20_000).hex())
        assert raised.value.kind == "full"
        assert values_of(saver, "thread") == {"x": 1}


def test_the_server_of_langgraph_deletes_by_a_name_of_its_own(saver):
    put(saver, "thread", x=1)
    saver.prune(["thread"], strategy="delete_all")
    assert saver.get_tuple(config_of("thread")) is None


def test_a_connection_of_psycopg_says_where_the_server_is(url, schema):
    with psycopg.connect(url) as connection:
        saver = PostgresSaver(connection, schema=schema)
    saver.setup()
    put(saver, "thread", x=1)
    assert values_of(saver, "thread") == {"x": 1}
    saver.close()


def test_close_ends_a_call_that_is_just_connecting(url):
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        saver = PostgresSaver(make_conninfo(url, host="127.0.0.1", port=silent.getsockname()[1]))
        call = pool.submit(put, saver, "thread", x=1)
        connection, _ = silent.accept()
        saver.close()
        with pytest.raises(CheckpointerError, match="closed"):
            call.result()
        with pytest.raises(CheckpointerError, match="closed"):
            put(saver, "thread", x=1)
        with connection:
            while connection.recv(1024):
                pass


def test_a_saver_that_was_closed_before_its_first_call_does_not_connect(url, schema):
    saver = PostgresSaver(url, schema=schema)
    saver.close()
    saver.close()
    with pytest.raises(CheckpointerError, match="closed"):
        saver.setup()


def test_a_close_that_reports_a_write_that_failed_closes_the_connections(url, schema, run):
    heads = f"{schema}.heads"

    async def is_closing(saver):
        try:
            await saver.adelete_for_runs(["none"])
        except CheckpointerError as error:
            assert "closed" in str(error)
            return True
        return False

    async def work():
        saver = AsyncPostgresSaver(url, schema=schema)
        await saver.setup()
        checkpoint = checkpoint_with({"x": 1})
        with locked(url, heads) as connection:
            call = saver.aput(config_of("thread"), checkpoint, {}, checkpoint["channel_versions"])
            task = asyncio.ensure_future(call)
            while not is_waited_for(url, heads):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            closing = asyncio.ensure_future(saver.aclose())
            while not await is_closing(saver):
                pass
            connection.execute(f"ALTER TABLE {heads} RENAME TO lost".encode())
        with pytest.raises(CheckpointerError, match="still to be sent failed"):
            await closing
        with pytest.raises(CheckpointerError, match="closed"):
            await saver.setup()

    run(work())


def test_an_encrypting_serialiser_leaves_nothing_to_read(url, schema):
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef")
    with PostgresSaver.from_conn_string(url, schema=schema, serde=serde) as saver:
        saver.setup()
        put(saver, "thread", secret="hunter2", more=["hunter2"] * 3)
        assert values_of(saver, "thread") == {"secret": "hunter2", "more": ["hunter2"] * 3}
        with psycopg.connect(url) as connection:
            select = f"SELECT {schema}.state('thread')::text".encode()
            (text,) = connection.execute(select).fetchone()
    assert "hunter2" not in text and "msgpack+aes" in text


def test_a_message_can_be_read_in_sql(saver, url, schema):
    from langchain_core.messages import HumanMessage

    put(saver, "thread", messages=[HumanMessage("Where is my order?", id="h")])
    with psycopg.connect(url) as connection:
        select = f"SELECT {schema}.state('thread') -> 'messages' -> -1 ->> 'content'".encode()
        assert connection.execute(select).fetchone() == ("Where is my order?",)
