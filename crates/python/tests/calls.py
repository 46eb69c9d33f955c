"""Calls of savers, and what they wait for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from langgraph.checkpoint.base import empty_checkpoint


def config_of(thread_id):
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


def checkpoint_with(values, version="1"):
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = dict.fromkeys(values, version)
    return checkpoint


def put(saver, thread_id, **values):
    checkpoint = checkpoint_with(values)
    versions = checkpoint["channel_versions"]
    return saver.put(config_of(thread_id), checkpoint, {"source": "loop", "step": 0}, versions)


def values_of(saver, thread_id):
    return saver.get_tuple(config_of(thread_id)).checkpoint["channel_values"]


@contextmanager
def locked(url: str, table: str) -> Iterator[psycopg.Connection]:
    """A connection that has locked a table: calls that use it wait for the end of its transaction."""
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield connection


def is_waited_for(url: str, table: str) -> bool:
    """Whether a call waits for a lock on a table."""
    waits = "SELECT 1 FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
    with psycopg.connect(url) as connection:
        return connection.execute(waits, [table]).fetchone() is not None


@contextmanager
def signal_once_a_call_waits_for(url: str, table: str, number: int) -> Iterator[None]:
    """Sends this process a signal while a call of the block waits for a table."""

    def send() -> None:
        while not is_over.is_set():
            if is_waited_for(url, table):
                os.kill(os.getpid(), number)
                return

    is_over = threading.Event()
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        is_over.set()
        sender.join()
