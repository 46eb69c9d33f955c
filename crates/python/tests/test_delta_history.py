"""The history of a channel that is stored as what was written to it.

LangGraph's repository has a ninth capability in its conformance suite, `delta_channel_history`, which the suite
on PyPI lacks. These tests ask the same of the saver.
"""

from __future__ import annotations

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import _DeltaSnapshot


class Thread:
    """A thread whose checkpoints follow each other."""

    def __init__(self, saver):
        self.saver = saver
        self.config = {"configurable": {"thread_id": "thread", "checkpoint_ns": ""}}

    def step(self, writes=(), **values):
        """Puts a checkpoint with values, and stores what its tasks write: channel and value."""
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = values
        checkpoint["channel_versions"] = dict.fromkeys(["log", "other", *values], "1")
        versions = dict.fromkeys(values, "1")
        self.config = self.saver.put(self.config, checkpoint, {}, versions)
        for number, write in enumerate(writes):
            self.saver.put_writes(self.config, [write], f"task-{number}")
        return self

    def history(self, *channels):
        return self.saver.get_delta_channel_history(config=self.config, channels=channels)


def values(history):
    return [value for _, _, value in history["writes"]]


@pytest.fixture
def thread(saver):
    return Thread(saver)


def test_writes_come_from_the_oldest_to_the_newest(thread):
    for number in range(3):
        thread.step([("log", number), ("other", -number)])
    found = thread.step().history("log")
    assert list(found) == ["log"]
    assert values(found["log"]) == [0, 1, 2]
    assert [(task, channel) for task, channel, _ in found["log"]["writes"]] == [("task-0", "log")] * 3


def test_the_history_begins_with_the_nearest_snapshot(thread):
    thread.step([("log", "lost")], log=_DeltaSnapshot(["old"])).step([("log", "lost")])
    thread.step(log=_DeltaSnapshot(["a", "b"])).step([("log", "c")])
    found = thread.step().history("log")["log"]
    assert found["seed"] == _DeltaSnapshot(["a", "b"])
    assert values(found) == ["c"]


def test_writes_on_the_checkpoint_itself_are_pending_and_no_history(thread):
    thread.step([("log", "a")])
    found = thread.step([("log", "pending")]).history("log")["log"]
    assert values(found) == ["a"]


def test_each_channel_has_a_history_of_its_own(thread):
    thread.step([("log", 1)], other=_DeltaSnapshot("o"))
    thread.step([("log", 2), ("other", 3)])
    found = thread.step().history("log", "other")
    assert values(found["log"]) == [1, 2] and "seed" not in found["log"]
    assert values(found["other"]) == [3] and found["other"]["seed"] == _DeltaSnapshot("o")


def test_without_channels_there_is_nothing(thread):
    assert thread.step([("log", 1)]).step().history() == {}


def test_without_a_snapshot_the_history_begins_with_the_first_checkpoint(thread):
    found = thread.step([("log", 1)]).step([("log", 2)]).step().history("log")["log"]
    assert values(found) == [1, 2] and "seed" not in found


def test_a_plain_value_of_before_the_channel_was_one_of_deltas_is_where_it_begins(thread):
    thread.step(log=["plain"]).step([("log", "a")])
    found = thread.step().history("log")["log"]
    assert found["seed"] == ["plain"] and values(found) == ["a"]


def test_writes_on_the_checkpoint_with_the_snapshot_come_after_it(thread):
    thread.step([("log", "before")])
    thread.step([("log", "after")], log=_DeltaSnapshot(["seed"]))
    found = thread.step().history("log")["log"]
    assert found["seed"] == _DeltaSnapshot(["seed"]) and values(found) == ["after"]


def test_a_checkpoint_that_is_not_there_has_no_history(thread):
    found = thread.history("log")
    assert values(found["log"]) == [] and "seed" not in found["log"]
