"""Does the benchmark's work with LangGraph's AsyncPostgresSaver.

Reads one JSON value a line from its input and answers each with a line: where to work, then any
number of times the file with the work to get ready for, and "work". Messages are plain dicts, which
costs LangGraph less than message objects do.
"""

import asyncio
import json
import sys
import time
from datetime import datetime, timezone

from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

GET_EVERY = 5
CHANNELS = ("messages", "step", "summary", "branch:to:agent")


async def run(saver, weigher, site, work, index, samples):
    """Lets one agent work, and returns the seconds it spent weighing."""
    thread_id = f"{work['prefix']}-{index}"
    config = {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": "",
            "checkpoint_id": str(uuid6(clock_seq=-2)),
        }
    }
    head = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    put_ms, put_writes_ms, get_ms = [], [], []
    messages, version, weighing = [], None, 0.0
    for number, step in enumerate(work["agents"][index]):
        tasks = {
            "agent-task": [("messages", [step["message"]]), ("step", number)],
            "tools-task": [("summary", step["summary"]), ("branch:to:agent", None)],
        }
        for task_id, writes in tasks.items():
            start = time.perf_counter()
            await saver.aput_writes(config, writes, task_id)
            put_writes_ms.append((time.perf_counter() - start) * 1e3)

        messages.append(step["message"])
        version = saver.get_next_version(version, None)
        versions = dict.fromkeys(CHANNELS, version)
        values = {
            "messages": messages,
            "step": number,
            "summary": step["summary"],
            "branch:to:agent": None,
        }
        checkpoint = {
            "v": 4,
            "id": str(uuid6(clock_seq=number)),
            "ts": datetime.now(timezone.utc).isoformat(),
            "channel_values": values,
            "channel_versions": versions,
            "versions_seen": {"__input__": {}, "agent": {"branch:to:agent": version}},
            "updated_channels": None,
        }
        metadata = {"source": "loop", "step": number, "parents": {}}
        if number == 0:
            config = head
        start = time.perf_counter()
        config = await saver.aput(config, checkpoint, metadata, versions)
        put_ms.append((time.perf_counter() - start) * 1e3)

        done = number + 1
        if done % GET_EVERY == 0:
            start = time.perf_counter()
            read = await saver.aget_tuple(head)
            get_ms.append((time.perf_counter() - start) * 1e3)
            if read.checkpoint["channel_values"] != values:
                raise RuntimeError("what is read isn't what was put")
        if work["weigh_every"] and done % work["weigh_every"] == 0:
            start = time.perf_counter()
            cursor = await weigher.execute(site["weigh"])
            samples["weights"].append((done, (await cursor.fetchone())[0]))
            weighing += time.perf_counter() - start
    samples["put"].append(put_ms)
    samples["put_writes"].append(put_writes_ms)
    samples["get"].append(get_ms)
    return weighing


async def main():
    site = json.loads(sys.stdin.readline())
    pool = AsyncConnectionPool(
        site["url"],
        min_size=site["pool"],
        max_size=site["pool"],
        open=False,
        kwargs={
            "autocommit": True,
            "prepare_threshold": 0,
            "row_factory": dict_row,
            "application_name": site["schema"],
            "options": f"-c search_path={site['schema']}",
        },
    )
    weigher = await AsyncConnection.connect(site["url"], autocommit=True)
    async with weigher, pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        await pool.wait()
        print("ready", flush=True)
        work = None
        while line := await asyncio.to_thread(sys.stdin.readline):
            question = json.loads(line)
            if question == "work":
                samples = {"put": [], "put_writes": [], "get": [], "weights": []}
                agents = range(len(work["agents"]))
                start = time.perf_counter()
                weighing = await asyncio.gather(
                    *(run(saver, weigher, site, work, agent, samples) for agent in agents)
                )
                samples["seconds"] = time.perf_counter() - start - sum(weighing)
                print(json.dumps(samples), flush=True)
            else:
                with open(question["prepare"], encoding="utf-8") as file:
                    work = json.load(file)
                print("ready", flush=True)


asyncio.run(main())
