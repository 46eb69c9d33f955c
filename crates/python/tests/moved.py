"""Threads that move from one saver to another, made and continued by real graphs."""

from __future__ import annotations

import json
from typing import Any

from compared import contents, without_interrupts
from graphs import SCENARIOS
from langchain_core.messages import HumanMessage

CONFIG: Any = {"configurable": {"thread_id": "thread-1"}}

# How many of a scenario's inputs come before the move. The approval waits for its answer then.
BEFORE = {"chat": 1, "fan": 1, "approval": 1, "delta": 3}


def begin(saver: Any, scenario: str) -> None:
    """Runs a graph up to the move."""
    build, inputs = SCENARIOS[scenario]
    graph = build(saver)
    for given in inputs[: BEFORE[scenario]]:
        graph.invoke(given, CONFIG)
    if scenario == "chat":
        fork(graph)
    if scenario == "approval":
        assert graph.get_state(CONFIG).interrupts


def fork(graph: Any) -> None:
    """Goes back to where the agent is about to call its tool, and on from there."""
    before = next(it for it in graph.get_state_history(CONFIG) if it.next == ("tool",))
    change = {"messages": [HumanMessage("Never mind.", id="human-9")], "steps": 5}
    forked = graph.update_state(before.config, change, as_node="tool")
    graph.invoke(None, forked)
    assert len({it.parent_config["configurable"]["checkpoint_id"] for it in history(graph)}) < len(history(graph))


def history(graph: Any) -> list[Any]:
    return [it for it in graph.get_state_history(CONFIG) if it.parent_config]


def go_on_alike(saver: Any, other: Any, scenario: str) -> None:
    """Runs a graph after the move on both savers, with the same results."""
    build, inputs = SCENARIOS[scenario]
    here, there = build(saver), build(other)
    for given in inputs[BEFORE[scenario] :]:
        result, expected = here.invoke(given, CONFIG), there.invoke(given, CONFIG)
        assert without_interrupts(result) == without_interrupts(expected)
        assert contents(saver) == contents(other)
        assert here.get_state(CONFIG).values == there.get_state(CONFIG).values
        assert here.get_state(CONFIG).next == there.get_state(CONFIG).next


def stored(saver: Any) -> dict[tuple[str, ...], Any]:
    """All that a saver has, by thread, namespace and checkpoint, with values as its serialiser writes them."""
    return {address(it.config): as_stored(it, saver.serde.dumps_typed) for it in saver.list(None)}


def address(config: Any) -> tuple[str, ...]:
    return tuple(config["configurable"][key] for key in ("thread_id", "checkpoint_ns", "checkpoint_id"))


def as_stored(found: Any, dump: Any) -> dict[str, Any]:
    fields = {**found.checkpoint}
    values = fields.pop("channel_values")
    return {
        # JSONB hasn't kept the order of keys.
        "fields": json.dumps(fields, sort_keys=True),
        "metadata": json.dumps(found.metadata, sort_keys=True),
        "values": {channel: dump(value) for channel, value in values.items()},
        "parent": found.parent_config and address(found.parent_config),
        "writes": [(task_id, channel, dump(value)) for task_id, channel, value in found.pending_writes],
    }
