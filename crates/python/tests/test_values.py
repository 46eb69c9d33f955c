"""Values: each comes back as LangGraph's serialiser gives it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import math
import pathlib
import re
import uuid
from collections import deque

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel

SERDE = JsonPlusSerializer(pickle_fallback=True)
CONFIG = {"configurable": {"thread_id": "thread", "checkpoint_ns": ""}}


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    y: int
    x: int


class Order(BaseModel):
    number: int
    lines: list[str] = []
    placed: dt.datetime | None = None


VALUES = {
    "none": None,
    "bool": True,
    "int": 42,
    "great int": 2**64 - 1,
    "greater int": 2**80,
    "float": 1.0,
    "large float": 1e22,
    "nan": math.nan,
    "infinity": -math.inf,
    "text": "Wie geht's? \U0001f600 \0 \u2028",
    "bytes": b"\0\xff",
    "bytearray": bytearray(b"\0\xff"),
    "nested bytes": [b"", {"b": b"\xff"}],
    "list": [1, "a", None, [2.5, []]],
    "tuple": (1, (2, 3)),
    "dict": {"b": 1, "a": {"z": 1, "y": 2}, "": None},
    "reserved": {"!": "5 module Class", "!order": "0"},
    "other keys": {1: "a", (2, 3): "b", None: "c"},
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "deque": deque([1, 2]),
    "datetime": dt.datetime(2026, 11, 29, 3, 4, 5, 678, dt.timezone.utc),
    "date": dt.date(2026, 11, 29),
    "time": dt.time(3, 4, 5),
    "timedelta": dt.timedelta(days=1, seconds=2),
    "uuid": uuid.UUID(int=7),
    "decimal": decimal.Decimal("1.10"),
    "path": pathlib.PurePosixPath("a/b"),
    "pattern": re.compile("a+", re.IGNORECASE),
    "ip": ipaddress.ip_address("127.0.0.1"),
    "enum": Colour.RED,
    "dataclass": Point(1, 2),
    "model": Order(number=1, lines=["b", "a"], placed=dt.datetime(2026, 1, 1)),
    "messages": [
        SystemMessage("Be brief.", id="s"),
        HumanMessage("Where is it?", id="h", additional_kwargs={"z": 1, "a": 2}),
        AIMessage("", id="a", tool_calls=[{"name": "f", "args": {"b": 1, "a": [2]}, "id": "c"}]),
        ToolMessage("here", tool_call_id="c", id="t", artifact={"k": (1, 2)}),
    ],
    "send": Send("node", {"x": 1}),
    "interrupt": Interrupt(value={"q": 1}, id="i"),
    "command": Command(update={"x": 1}, resume={"a": 2}),
    "lambda": [len],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_as_from_langgraphs_serialiser(saver, name):
    value = VALUES[name]
    saver.serde = SERDE
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"value": value}
    checkpoint["channel_versions"] = {"value": 1}
    at = saver.put(CONFIG, checkpoint, {}, {"value": 1})
    saver.put_writes(at, [("value", value)], "task")
    found = saver.get_tuple(CONFIG)
    expected = value if name == "greater int" else SERDE.loads_typed(SERDE.dumps_typed(value))
    for back in (found.checkpoint["channel_values"]["value"], found.pending_writes[0][2]):
        assert type(back) is type(expected)
        assert repr(back) == repr(expected)


METADATA = {
    "great": 2**80,
    "negative": -(2**80),
    "64 bits": [2**64 - 1, -(2**63), 2**64],
    "within": {"a": [{"b": 10**400}], "!": "5 module Class", "v": {"!": "json", "v": "1"}},
    "!": "json",
    "v": "2",
    "float": 1.5,
}


def test_integers_of_any_size_come_back_in_metadata_and_are_found(saver):
    saver.put(CONFIG, empty_checkpoint(), METADATA, {})
    assert saver.get_tuple(CONFIG).metadata == METADATA
    for filter, count in [({"great": 2**80}, 1), ({"great": 2**80 + 1}, 0), ({"!": "json"}, 1)]:
        assert len(list(saver.list(None, filter=filter))) == count


def test_what_is_sent_to_a_model_after_a_resume_is_the_same_to_the_byte(saver):
    arguments = {"zip": "8000", "city": {"name": "Zürich", "id": 1}, "a": [{"c": 1, "b": 2}]}
    message = AIMessage("", id="a", tool_calls=[{"name": "f", "args": arguments, "id": "c"}])
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"messages": [message]}
    checkpoint["channel_versions"] = {"messages": 1}
    saver.put(CONFIG, checkpoint, {}, {"messages": 1})
    (back,) = saver.get_tuple(CONFIG).checkpoint["channel_values"]["messages"]
    assert back.model_dump_json() == message.model_dump_json()
