"""A program that ends while a call of its saver is under way, and says nothing."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.jsonb import AsyncPostgresSaver, PostgresSaver

CONFIG = {"configurable": {"thread_id": "thread", "checkpoint_ns": ""}}
url, schema, kind = sys.argv[1:]


def put(saver):
    saver.put(CONFIG, empty_checkpoint(), {}, {})


async def leave_a_task():
    saver = AsyncPostgresSaver(url, schema=schema)
    task = asyncio.ensure_future(saver.aput(CONFIG, empty_checkpoint(), {}, {}))
    await asyncio.sleep(0.3)
    assert not task.done()


if kind == "task":
    asyncio.run(leave_a_task())
else:
    saver = PostgresSaver(url, schema=schema)
    threading.Thread(target=put, args=[saver], daemon=True).start()
    time.sleep(0.3)
    if kind == "closed":
        del saver
