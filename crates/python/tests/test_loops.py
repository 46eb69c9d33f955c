"""Event loops that end before their calls do, and those that a fork takes along."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import weakref

import pytest
import uvloop
from calls import config_of, locked, put
from langgraph.checkpoint.jsonb import _loop

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


async def begun(saver):
    """A call that is under way."""
    task = asyncio.ensure_future(saver.aget_tuple(config_of("thread")))
    await asyncio.sleep(0)
    return task


@LOOPS
def test_a_loop_that_is_closed_with_calls_under_way_is_freed(saver, url, schema, new_loop):
    def leave_a_call():
        loop = new_loop()
        task = loop.run_until_complete(begun(saver))
        assert not task.done()
        loop.close()
        return weakref.ref(loop)

    with locked(url, f"{schema}.heads"):
        loop = leave_a_call()
        gc.collect()
        assert loop() is None


@LOOPS
def test_a_loop_that_a_fork_takes_along_leaves_the_outcomes_to_the_parent(
    saver, url, schema, new_loop
):
    put(saver, "thread", x=1)
    loop = new_loop()
    with locked(url, f"{schema}.heads"):
        task = loop.run_until_complete(begun(saver))
    inbox = _loop._mail_of(loop).inbox
    assert select.select([inbox], [], [], 30)[0] == [inbox]
    child = os.fork()
    if child == 0:
        try:
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    found = loop.run_until_complete(asyncio.wait_for(task, 30))
    assert found.checkpoint["channel_values"] == {"x": 1}
    loop.close()
