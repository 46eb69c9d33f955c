"""Measures this project's savers and LangGraph's in Python, by turns: `cargo xtask bench --python`.

The work is that of `bench/src/work.rs`: in each step two tasks store two outputs each, and a checkpoint of
four channels follows, of which `messages` grows by one message. Every fifth step the head is read. Each
round has a schema of its own, and both savers have a pool of ten connections.

LangGraph's saver isn't measured with a thousand steps, which take it minutes: `--agents 1 --steps 1000`
does it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import secrets
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint import jsonb, postgres
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.postgres import aio
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

URL = os.environ["DATABASE_URL"]
POOL = 10
GET_EVERY = 5
CHANNELS = ("messages", "step", "summary", "branch:to:agent")
# At the ends of a thread so many puts are looked at.
ENDS = 100

CHECKOUT = Path(__file__).parent.parent.parent
TEXT = "".join(path.read_text() for path in sorted(CHECKOUT.glob("docs/*.md")))


@dataclass
class Scenario:
    """Some agents that work at once."""

    agents: int
    steps: int
    is_async: bool
    has_objects: bool

    def __str__(self) -> str:
        api = "async" if self.is_async else "sync"
        form = "objects" if self.has_objects else "dicts"
        return f"{self.agents} × {self.steps}, {api}, {form}"


@dataclass
class Outcome:
    """What was measured in a round; milliseconds in the order of the steps."""

    puts: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    seconds: float = 0.0
    bytes: int = 0


def piece(rng: random.Random, length: int) -> str:
    start = rng.randrange(len(TEXT) - length)
    return TEXT[start : start + length]


def message(rng: random.Random, step: int, has_objects: bool) -> Any:
    content, name = piece(rng, rng.randrange(250, 600)), f"{rng.getrandbits(128):032x}"
    if has_objects:
        return (AIMessage if step % 2 else HumanMessage)(content, id=name)
    return {"id": name, "role": "assistant" if step % 2 else "user", "content": content}


class Agent:
    """The calls that an agent makes; each is made by `make`, which may have to be awaited."""

    def __init__(self, saver: Any, scenario: Scenario, number: int, outcome: Outcome) -> None:
        self.saver, self.scenario, self.outcome = saver, scenario, outcome
        self.head = {"configurable": {"thread_id": f"thread-{number}", "checkpoint_ns": ""}}
        self.rng = random.Random(number)
        self.puts: list[float] = []
        self.last_read: Any = (None, None)
        outcome.puts.append(self.puts)
        self.cpu: list[float] = []
        outcome.cpu.append(self.cpu)

    def calls(self) -> Any:
        """Yields each call as the name of a method with its arguments, and is sent its answer."""
        configurable = {**self.head["configurable"], "checkpoint_id": str(uuid6())}
        config: Any = {"configurable": configurable}
        messages: list[Any] = []
        version = None
        for step in range(self.scenario.steps):
            new = message(self.rng, step, self.scenario.has_objects)
            summary = piece(self.rng, 100)
            yield "put_writes", (config, [("messages", [new]), ("step", step)], "agent-task")
            writes = [("summary", summary), ("branch:to:agent", None)]
            yield "put_writes", (config, writes, "tools-task")
            messages.append(new)
            version = self.saver.get_next_version(version, None)
            versions = dict.fromkeys(CHANNELS, version)
            values = dict(zip(CHANNELS, (messages, step, summary, None), strict=True))
            checkpoint = {
                "v": 4,
                "id": str(uuid6(clock_seq=step)),
                "ts": "2026-11-29T00:00:00+00:00",
                "channel_values": values,
                "channel_versions": versions,
                "versions_seen": {"__input__": {}, "agent": {"branch:to:agent": version}},
                "updated_channels": None,
            }
            metadata = {"source": "loop", "step": step, "parents": {}}
            put = (config if step else self.head, checkpoint, metadata, versions)
            cpu, start = self.cpu_time(), time.perf_counter()
            config = yield "put", put
            self.puts.append((time.perf_counter() - start) * 1e3)
            self.cpu.append((self.cpu_time() - cpu) * 1e3)
            if (step + 1) % GET_EVERY == 0:
                start = time.perf_counter()
                found = yield "get_tuple", (self.head,)
                self.outcome.gets.append((time.perf_counter() - start) * 1e3)
                read = found.checkpoint["channel_values"]
                self.last_read = (read, {**values, "messages": messages[:]})

    def cpu_time(self) -> float:
        """The process's, in seconds; none with several agents, for the others' work would be in it."""
        return time.process_time() if self.scenario.agents == 1 else 0.0

    def check(self) -> None:
        """Fails unless what was read last is what was put. That takes too long to be measured."""
        read, put = self.last_read
        assert read == put

    def work(self) -> None:
        calls, answer = self.calls(), None
        while call := next_call(calls, answer):
            answer = getattr(self.saver, call[0])(*call[1])

    async def awork(self) -> None:
        calls, answer = self.calls(), None
        while call := next_call(calls, answer):
            answer = await getattr(self.saver, f"a{call[0]}")(*call[1])


def next_call(calls: Any, answer: Any) -> Any:
    try:
        return calls.send(answer)
    except StopIteration:
        return None


def official_pool(make: Any, schema: str) -> Any:
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    options["options"] = f"-c search_path={schema}"
    return make(URL, min_size=POOL, max_size=POOL, open=False, kwargs=options)


def run_sync(scenario: Scenario, is_ours: bool, schema: str, outcome: Outcome) -> None:
    with ExitStack() as stack:
        if is_ours:
            made: Any = jsonb.PostgresSaver.from_conn_string(
                URL, schema=schema, pool_min=POOL, pool_max=POOL
            )
            saver = stack.enter_context(made)
        else:
            pool = stack.enter_context(official_pool(ConnectionPool, schema))
            pool.wait()
            saver = postgres.PostgresSaver(pool)
        saver.setup()
        agents = [Agent(saver, scenario, number, outcome) for number in range(scenario.agents)]
        with ThreadPoolExecutor(scenario.agents) as threads:
            start = time.perf_counter()
            list(threads.map(Agent.work, agents))
            outcome.seconds = time.perf_counter() - start
        for agent in agents:
            agent.check()


async def run_async(scenario: Scenario, is_ours: bool, schema: str, outcome: Outcome) -> None:
    async with AsyncExitStack() as stack:
        if is_ours:
            made: Any = jsonb.AsyncPostgresSaver.from_conn_string(
                URL, schema=schema, pool_min=POOL, pool_max=POOL
            )
            saver = await stack.enter_async_context(made)
        else:
            pool = await stack.enter_async_context(official_pool(AsyncConnectionPool, schema))
            await pool.wait()
            saver = aio.AsyncPostgresSaver(pool)
        await saver.setup()
        agents = [Agent(saver, scenario, number, outcome) for number in range(scenario.agents)]
        start = time.perf_counter()
        await asyncio.gather(*map(Agent.awork, agents))
        outcome.seconds = time.perf_counter() - start
        for agent in agents:
            agent.check()


def run(scenario: Scenario, is_ours: bool) -> Outcome:
    schema = f"bench_python_{secrets.token_hex(6)}"
    outcome = Outcome()
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        try:
            if scenario.is_async:
                asyncio.run(run_async(scenario, is_ours, schema, outcome))
            else:
                run_sync(scenario, is_ours, schema, outcome)
            weigh = """
                SELECT sum(pg_total_relation_size(oid)) FROM pg_class
                WHERE relnamespace = %s::regnamespace AND relkind = 'r'
            """
            (weight,) = connection.execute(weigh, [schema]).fetchone() or (0,)
            outcome.bytes = int(weight)
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    return outcome


@dataclass
class Ends:
    """The medians of what the first and the last puts of threads took, in milliseconds."""

    first: float
    last: float

    @classmethod
    def of(cls, scenario: Scenario, threads: list[list[list[float]]]) -> Ends:
        """Takes each thread of each round."""
        ends = max(1, min(ENDS, scenario.steps // 3))

        def median(end: slice) -> float:
            return statistics.median(
                statistics.median(sum((puts[end] for puts in of_round), []))
                for of_round in threads
            )

        return cls(median(slice(None, ends)), median(slice(-ends, None)))

    def __str__(self) -> str:
        return f"{self.first:.2f} | {self.last:.2f} | {self.last / self.first:.2f}"


HEAD = """\
| agents × steps | saver | steps/s | ÷ LangGraph's | put at first, ms | at last, ms | growth \
| its CPU at first, ms | at last, ms | growth | get, ms | MB |
|---|---|---|---|---|---|---|---|---|---|---|---|"""


def rate(scenario: Scenario, rounds: list[Outcome]) -> float:
    return statistics.median(scenario.agents * scenario.steps / it.seconds for it in rounds)


def row(scenario: Scenario, name: str, rounds: list[Outcome], official: list[Outcome]) -> str:
    ratio = f"{rate(scenario, rounds) / rate(scenario, official):.1f}" if official else ""
    puts = Ends.of(scenario, [it.puts for it in rounds])
    cpu = Ends.of(scenario, [it.cpu for it in rounds]) if scenario.agents == 1 else " | | "
    get = statistics.median(statistics.median(it.gets or [math.nan]) for it in rounds)
    size = statistics.median(it.bytes / 1e6 for it in rounds)
    speed = f"{rate(scenario, rounds):.0f} | {ratio} | {puts} | {cpu}"
    return f"| {scenario} | langgraph-checkpoint-{name} | {speed} | {get:.2f} | {size:.1f} |"


def measure(scenario: Scenario, rounds: int, with_official: bool) -> None:
    """Prints what each saver does in a scenario."""
    ours: list[Outcome] = []
    official: list[Outcome] = []
    for number in range(rounds):
        # By turns, and each first as often as the other.
        for is_ours in (True, False) if number % 2 else (False, True):
            if is_ours or with_official:
                (ours if is_ours else official).append(run(scenario, is_ours))
    if official:
        print(row(scenario, "postgres", official, []))
    print(row(scenario, "jsonb", ours, official), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--agents", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--ours", action="store_true", help="leave LangGraph's saver out")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    # Agents, steps, ways to call, rounds, and whether LangGraph's saver is measured as well.
    sizes = [(1, 300, (False, True), rounds, True)]
    sizes += [(64, 30, (True,), rounds, True)]
    sizes += [(1, 1000, (False, True), rounds, False)]
    if arguments.agents or arguments.steps:
        sizes = [(arguments.agents or 1, arguments.steps or 30, (False, True), rounds, True)]
    print(f"Medians of {rounds} rounds, and of the first and the last {ENDS} puts of each thread or")
    print("of a third of its steps. The CPU time is that of this process, server aside.\n")
    print(HEAD)
    for agents, steps, ways, rounds, with_official in sizes:
        for is_async in ways:
            for has_objects in (False, True):
                scenario = Scenario(agents, steps, is_async, has_objects)
                measure(scenario, rounds, with_official and not arguments.ours)


if __name__ == "__main__":
    main()
