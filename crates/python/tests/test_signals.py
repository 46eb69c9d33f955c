"""Signals that come while a call waits."""

from __future__ import annotations

import os
import signal
import threading
import time

import psycopg
import pytest
from calls import is_waited_for, locked, put, signal_once_a_call_waits_for, values_of
from graphs import ask, chat
from langgraph.checkpoint.jsonb import PostgresSaver


@pytest.fixture
def heeds_ctrl_c():
    """Python ignores Ctrl-C where the tests were started in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def on_signal():
    """Sets what handles SIGUSR1."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handle: signal.signal(signal.SIGUSR1, lambda *_: handle())
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_ends_a_call_while_it_waits(saver, url, schema):
    put(saver, "thread", x=1)
    heads = f"{schema}.heads"
    with locked(url, heads), signal_once_a_call_waits_for(url, heads, signal.SIGINT):
        with pytest.raises(KeyboardInterrupt):
            put(saver, "thread", x=2)
        # Nothing else has ended it: what it has sent still waits, as it may for 30 seconds.
        assert is_waited_for(url, heads)
    assert values_of(saver, "thread") is not None


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_ends_a_graph_once_langgraph_has_stored_what_it_began_to(saver, url, schema):
    graph, config = chat(saver), {"configurable": {"thread_id": "thread"}}
    released_at = []

    def interrupt(lock):
        while not is_waited_for(url, f"{schema}.heads"):
            pass
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        released_at.append(time.monotonic())
        lock.rollback()

    with psycopg.connect(url) as lock:
        # Reads go on.
        lock.execute(f"LOCK TABLE {schema}.heads IN EXCLUSIVE MODE".encode())
        interrupter = threading.Thread(target=interrupt, args=[lock])
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            graph.invoke(ask("Where is it?", 1), config, durability="sync")
        ended_at = time.monotonic()
        interrupter.join()
    assert released_at[0] < ended_at < released_at[0] + 5
    assert saver.get_tuple(config) is not None


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_what_a_call_has_sent_goes_on_when_ctrl_c_ends_it(url, schema):
    heads = f"{schema}.heads"
    with PostgresSaver.from_conn_string(url, schema=schema) as saver:
        saver.setup()
        put(saver, "thread", x=1)
        with locked(url, heads), signal_once_a_call_waits_for(url, heads, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                put(saver, "thread", x=2)
    with PostgresSaver.from_conn_string(url, schema=schema) as saver:
        assert values_of(saver, "thread") == {"x": 2}


def test_a_signal_handler_calls_the_saver_whose_call_it_interrupts(url, schema, on_signal):
    def handle():
        blocker.rollback()
        # It waits for the call that it interrupts, which so goes on.
        put(saver, "thread", x=3)
        handled.append(values_of(saver, "thread"))
        saver.close()

    on_signal(handle)
    handled = []
    heads = f"{schema}.heads"
    with PostgresSaver.from_conn_string(url, schema=schema) as saver:
        saver.setup()
        put(saver, "thread", x=1)
        with locked(url, heads) as blocker, signal_once_a_call_waits_for(url, heads, signal.SIGUSR1):
            put(saver, "thread", x=2)
    assert handled == [{"x": 3}]


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_a_list_that_ctrl_c_ends_holds_no_connection(url, schema):
    table = f"{schema}.checkpoints"
    with PostgresSaver.from_conn_string(url, schema=schema, pool_max=1) as saver:
        saver.setup()
        put(saver, "thread", x=1)
        with locked(url, table), signal_once_a_call_waits_for(url, table, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt) as raised:
                next(saver.list(None))
        assert values_of(saver, "thread") == {"x": 1}
    # Until here its traceback has kept the list.
    assert raised.tb is not None
