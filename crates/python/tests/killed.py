"""A run of many tasks that kills its own process in the middle of one of them."""

from __future__ import annotations

import asyncio
import operator
import os
import signal
import threading
from collections.abc import Callable
from typing import Annotated, Any

from langgraph.checkpoint.jsonb import AsyncPostgresSaver, PostgresSaver
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

CONFIG: Any = {"configurable": {"thread_id": "killed"}, "recursion_limit": 100}
INPUT: Any = {"log": ["input"]}
ROUNDS = 6


class State(TypedDict):
    log: Annotated[list[str], operator.add]


def graph(saver: Any, begin: Callable[[], None] = lambda: None) -> Any:
    """Rounds of two tasks at once and one that joins them. Each says when it begins."""

    def task(name: str) -> Callable[[State], State]:
        def run(state: State) -> State:
            begin()
            return {"log": [f"{name} after {len(state['log'])}"]}

        return run

    def after_join(state: State) -> list[str]:
        return [END] if len(state["log"]) > 3 * ROUNDS else ["left", "right"]

    builder = StateGraph(State)
    for name in ("left", "right", "join"):
        builder.add_node(name, task(name))
    builder.add_edge(START, "left")
    builder.add_edge(START, "right")
    builder.add_edge("left", "join")
    builder.add_edge("right", "join")
    builder.add_conditional_edges("join", after_join, ["left", "right", END])
    return builder.compile(checkpointer=saver)


def killer(tasks: int) -> Callable[[], None]:
    """What kills this process when the last of so many tasks begins."""
    begun = threading.Semaphore(tasks - 1)

    def begin() -> None:
        if not begun.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGKILL)

    return begin


def run(url: str, schema: str, durability: Any, tasks: int) -> None:
    """Runs the thread from wherever it is, until a task or to its end."""
    with PostgresSaver.from_conn_string(url, schema=schema) as saver:
        given = None if saver.get_tuple(CONFIG) else INPUT
        graph(saver, killer(tasks)).invoke(given, CONFIG, durability=durability)


def run_awaited(url: str, schema: str, durability: Any, tasks: int) -> None:
    """The same in an event loop."""

    async def awaited() -> None:
        async with AsyncPostgresSaver.from_conn_string(url, schema=schema) as saver:
            given = None if await saver.aget_tuple(CONFIG) else INPUT
            await graph(saver, killer(tasks)).ainvoke(given, CONFIG, durability=durability)

    asyncio.run(awaited())
