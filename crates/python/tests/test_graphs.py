"""Graphs on this saver and in memory: the same after every call."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from compared import contents, without_interrupts
from graphs import SCENARIOS, ask, asking_thrice, chat, nested
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.jsonb import AsyncPostgresSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

CONFIG = {"configurable": {"thread_id": "thread-1"}}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_graph_is_the_same_as_in_memory_after_every_call(saver, scenario, durability):
    build, inputs = SCENARIOS[scenario]
    memory = InMemorySaver()
    here, there = build(saver), build(memory)
    for given in inputs:
        result = here.invoke(given, CONFIG, durability=durability)
        assert without_interrupts(result) == without_interrupts(there.invoke(given, CONFIG, durability=durability))
        assert contents(saver) == contents(memory)
        assert here.get_state(CONFIG).values == there.get_state(CONFIG).values
        assert here.get_state(CONFIG).next == there.get_state(CONFIG).next


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_awaited_graph_is_the_same_as_in_memory_after_every_call(
    url, schema, run, scenario, durability
):
    build, inputs = SCENARIOS[scenario]

    async def compare():
        memory = InMemorySaver()
        async with AsyncPostgresSaver.from_conn_string(url, schema=schema) as saver:
            await saver.setup()
            here, there = build(saver), build(memory)
            for given in inputs:
                result = await here.ainvoke(given, CONFIG, durability=durability)
                expected = await there.ainvoke(given, CONFIG, durability=durability)
                assert without_interrupts(result) == without_interrupts(expected)
                assert contents(saver) == contents(memory)

    run(compare())


def test_forty_subgraphs_within_each_other_are_the_same_as_in_memory(saver):
    memory = InMemorySaver()
    here, there = nested(saver, 40), nested(memory, 40)
    for given in [{"text": ""}, Command(resume="yes")]:
        result, expected = here.invoke(given, CONFIG), there.invoke(given, CONFIG)
        assert without_interrupts(result) == without_interrupts(expected)
        assert contents(saver) == contents(memory)
    namespaces = [it.config["configurable"]["checkpoint_ns"] for it in saver.list(None)]
    assert max(map(len, namespaces)) == 1959


def test_each_update_that_comes_with_a_resume_is_kept(saver):
    memory = InMemorySaver()
    here, there = asking_thrice(saver), asking_thrice(memory)
    for number in range(4):
        given = Command(resume=str(number), update={"log": [f"update {number}"]}) if number else {"log": []}
        result, expected = here.invoke(given, CONFIG), there.invoke(given, CONFIG)
        assert without_interrupts(result) == without_interrupts(expected)
        assert contents(saver) == contents(memory)
    assert result["log"] == ["update 1", "update 2", "update 3", "123"]


def test_sixty_four_agents_run_at_once(url, schema, run):
    async def agents():
        async with AsyncPostgresSaver.from_conn_string(url, schema=schema) as saver:
            await saver.setup()
            graph = chat(saver)

            async def agent(number):
                config = {"configurable": {"thread_id": f"thread-{number}"}}
                for turn in range(3):
                    await graph.ainvoke(ask("Where is it?", turn), config)
                return (await graph.aget_state(config)).values

            return await asyncio.gather(*map(agent, range(64)))

    states = run(agents())
    assert all(len(state["messages"]) == 12 and state["steps"] == 9 for state in states)


def test_a_run_that_is_killed_goes_on_where_it_was(url, schema, saver):
    command = [sys.executable, Path(__file__).parent / "killed.py", url, schema]
    for _ in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            for _, _ in zip(range(6), program.stdout, strict=False):
                pass
            program.kill()
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "done"
    state = saver.get_tuple({"configurable": {"thread_id": "killed"}})
    assert state.checkpoint["channel_values"]["log"] == list(range(40))


def test_the_history_of_a_channel_is_that_of_langgraphs_base_class(saver, run):
    build, inputs = SCENARIOS["delta"]
    graph = build(saver)
    for given in inputs:
        graph.invoke(given, CONFIG)
    fork = list(graph.get_state_history(CONFIG))[5].config
    graph.invoke(None, graph.update_state(fork, {"history": ["forked"]}, as_node="one"))
    found = list(saver.list(CONFIG))
    assert len(found) > 16
    channels = ["history", "another"]
    for config in [CONFIG, *(it.config for it in found)]:
        expected = BaseCheckpointSaver.get_delta_channel_history(
            saver, config=config, channels=channels
        )
        assert saver.get_delta_channel_history(config=config, channels=channels) == expected
        awaited = saver.aget_delta_channel_history(config=config, channels=channels)
        assert run(awaited) == expected
