"""Graphs on this saver and in memory: the same after every call."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import killed
import pytest
from compared import contents, lineage, without_interrupts
from graphs import SCENARIOS, ask, asking_thrice, chat, join, nested
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.jsonb import AsyncPostgresSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

CONFIG = {"configurable": {"thread_id": "thread-1"}}
DURABILITIES = ["sync", "async", "exit"]


@pytest.mark.parametrize("durability", DURABILITIES)
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


@pytest.mark.parametrize("durability", DURABILITIES)
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


def test_many_nodes_with_long_names_may_be_joined(saver):
    given = {"done": []}
    result = join(saver).invoke(given, CONFIG)
    assert result == join(InMemorySaver()).invoke(given, CONFIG)
    assert join(saver).get_state(CONFIG).values == result


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


AGENTS = range(64)


def agent_of(number):
    """The config of one of many agents, how it saves, and what it is asked."""
    config = {"configurable": {"thread_id": f"thread-{number}"}}
    asked = [ask(f"Where is order {number}?", 1), ask("And the other one?", 2)]
    return config, DURABILITIES[number % 3], asked


@cache
def agents_in_memory():
    """What each agent has in memory, where they run one after the other."""
    memory = InMemorySaver()
    graph = chat(memory)
    for number in AGENTS:
        config, durability, asked = agent_of(number)
        for given in asked:
            graph.invoke(given, config, durability=durability)
    return [contents(memory, agent_of(number)[0]) for number in AGENTS]


def agents_that_differ_from_memory(saver):
    expected = agents_in_memory()
    return [number for number in AGENTS if contents(saver, agent_of(number)[0]) != expected[number]]


def test_sixty_four_agents_at_once_are_each_the_same_as_in_memory(saver):
    graph = chat(saver)

    def agent(number):
        config, durability, asked = agent_of(number)
        for given in asked:
            graph.invoke(given, config, durability=durability)

    with ThreadPoolExecutor(len(AGENTS)) as threads:
        list(threads.map(agent, AGENTS))
    assert agents_that_differ_from_memory(saver) == []


def test_sixty_four_awaited_agents_at_once_are_each_the_same_as_in_memory(url, schema, run):
    async def agents():
        async with AsyncPostgresSaver.from_conn_string(url, schema=schema) as saver:
            await saver.setup()
            graph = chat(saver)

            async def agent(number):
                config, durability, asked = agent_of(number)
                for given in asked:
                    await graph.ainvoke(given, config, durability=durability)

            await asyncio.gather(*map(agent, AGENTS))
            return agents_that_differ_from_memory(saver)

    assert run(agents()) == []


# Its children have the packages at hand, and none of the threads of this process.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["langgraph.graph", "langgraph.checkpoint.jsonb"])


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("run", [killed.run, killed.run_awaited], ids=["called", "awaited"])
def test_a_run_that_is_killed_and_resumed_ends_as_in_memory(url, schema, saver, run, durability):
    def ended(tasks):
        process = FORKS.Process(target=run, args=[url, schema, durability, tasks])
        process.start()
        process.join()
        return process.exitcode

    assert [ended(tasks) for tasks in (3, 5, 4)] == [-signal.SIGKILL] * 3
    assert ended(1000) == 0
    memory = InMemorySaver()
    killed.graph(memory).invoke(killed.INPUT, killed.CONFIG, durability=durability)
    # A put that was under way may have come too late, so that the next run didn't begin with it.
    assert lineage(saver, killed.CONFIG) == lineage(memory, killed.CONFIG)


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


def test_a_fork_by_the_program_has_the_values_of_the_checkpoint_that_it_is_of(saver, program):
    build, inputs = SCENARIOS["delta"]
    graph = build(saver)
    for given in inputs:
        graph.invoke(given, CONFIG)
    states = list(graph.get_state_history(CONFIG))
    # With a snapshot and without, and the first of all.
    for state in states:
        program("fork", "thread-1", state.config["configurable"]["checkpoint_id"])
        forked = graph.get_state(CONFIG)
        assert (forked.values, forked.next) == (state.values, state.next)
    graph.invoke(None, CONFIG)
    assert graph.get_state(CONFIG).values == states[-4].values


def test_the_program_refuses_to_fork_with_a_value_that_could_not_be_read(saver, program):
    build, inputs = SCENARIOS["chat"]
    build(saver).invoke(inputs[0], CONFIG)
    head = saver.get_tuple(CONFIG)
    with pytest.raises(AssertionError, match="LangGraph couldn't read the value of `steps`"):
        program("fork", "thread-1", "head", "--set", 'steps={"!x": 1}')
    assert saver.get_tuple(CONFIG) == head
