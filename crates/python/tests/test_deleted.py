"""Threads that are deleted and used again, while LangGraph saves in the background.

The outputs of tasks and a subgraph's checkpoints may come before the checkpoint that starts the thread, and
what a run before the deletion has left may come after it.
"""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

import pytest
from compared import contents, without_interrupts
from langgraph.checkpoint.jsonb import PostgresSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

CONFIG = {"configurable": {"thread_id": "thread-1"}}
DURABILITIES = ["sync", "async", "exit"]

# It takes longer to store than the outputs that come after it.
LARGE = [{"number": number, "text": "large " * 20} for number in range(1_000)]


class State(TypedDict):
    given: list[Any]
    log: Annotated[list[str], operator.add]


def graph(saver: Any, ran: list[str]) -> Any:
    """A subgraph whose first node is finished when its second asks a person."""

    def node(name: str) -> Any:
        def run(state: State) -> dict[str, Any]:
            ran.append(name)
            return {"log": [name]}

        return run

    def ask(state: State) -> dict[str, Any]:
        return {"log": [interrupt("go on?")]}

    inner = StateGraph(State)
    inner.add_node("a", node("a"))
    inner.add_node("ask", ask)
    inner.add_edge(START, "a")
    inner.add_edge("a", "ask")
    outer = StateGraph(State)
    outer.add_node("before", node("before"))
    outer.add_node("inner", inner.compile())
    outer.add_node("after", node("after"))
    outer.add_edge(START, "before")
    outer.add_edge("before", "inner")
    outer.add_edge("inner", "after")
    return outer.compile(checkpointer=saver)


@pytest.fixture
def other(url, schema, saver):
    """A saver of another program, as far as this one's memory goes."""
    with PostgresSaver.from_conn_string(url, schema=schema) as other:
        yield other


@pytest.mark.parametrize("deleted_by", ["saver", "other"])
@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_thread_that_was_deleted_is_used_again(request, saver, durability, deleted_by):
    deleting = request.getfixturevalue(deleted_by)
    memory, ran = InMemorySaver(), []
    here, there = graph(saver, ran), graph(memory, [])
    for _ in range(4):
        ran.clear()
        for given in [{"given": LARGE, "log": []}, Command(resume="yes")]:
            result = here.invoke(given, CONFIG, durability=durability)
            expected = there.invoke(given, CONFIG, durability=durability)
            assert without_interrupts(result) == without_interrupts(expected)
            assert contents(saver) == contents(memory)
        assert ran == ["before", "a", "after"]
        deleting.delete_thread("thread-1")
        memory.delete_thread("thread-1")
        assert contents(saver) == []


@pytest.mark.parametrize("deleted_by", ["saver", "other"])
@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_thread_that_was_deleted_is_used_again_by_a_run_that_awaits(
    request, saver, run, durability, deleted_by
):
    deleting = request.getfixturevalue(deleted_by)
    memory, ran = InMemorySaver(), []
    here, there = graph(saver, ran), graph(memory, [])

    async def use():
        for _ in range(4):
            ran.clear()
            for given in [{"given": LARGE, "log": []}, Command(resume="yes")]:
                result = await here.ainvoke(given, CONFIG, durability=durability)
                expected = await there.ainvoke(given, CONFIG, durability=durability)
                assert without_interrupts(result) == without_interrupts(expected)
                assert contents(saver) == contents(memory)
            assert ran == ["before", "a", "after"]
            await deleting.adelete_thread("thread-1")
            memory.delete_thread("thread-1")
            assert contents(saver) == []

    run(use())


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_thread_that_is_deleted_while_it_runs_is_in_order_afterwards(saver, run, durability):
    agent = graph(saver, [])

    async def race(number):
        config = {"configurable": {"thread_id": f"thread-{number}"}}

        async def delete():
            for _ in range(3):
                await saver.adelete_thread(f"thread-{number}")

        given = {"given": LARGE[:200], "log": []}
        await asyncio.gather(agent.ainvoke(given, config, durability=durability), delete())
        # What the run stored after the deletion is what is left; a new run finds an empty thread.
        await saver.adelete_thread(f"thread-{number}")
        await agent.ainvoke(given, config, durability=durability)
        result = await agent.ainvoke(Command(resume="yes"), config, durability=durability)
        assert result["log"] == ["before", "before", "a", "yes", "after"]

    async def races():
        await asyncio.gather(*map(race, range(8)))

    run(races())
