"""The test vectors that Rust reads, too: what LangGraph's serialiser wrote, and each one's form."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import zoneinfo
from typing import Any

import psycopg
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

FOLDER = pathlib.Path(__file__).parents[2] / "langgraph/vectors"
VECTORS = {
    it["name"]: (it["type"], base64.b64decode(it["bytes"]))
    for it in json.loads((FOLDER / "serialized.json").read_text())
}
FORMS = json.loads((FOLDER / "forms.json").read_text())

SERDE = JsonPlusSerializer()
CONFIG: Any = {"configurable": {"thread_id": "thread", "checkpoint_ns": ""}}

NOT_WRITTEN_AGAIN = {
    # Without what made them: numpy, a class of the program, pydantic 1, pickle, a key.
    "numpy",
    "numpy, column by column",
    "numpy, other types",
    "a class with a space in its name",
    "pydantic 1",
    "pickle",
    "encrypted",
    # LangGraph's serialiser reads nothing from them.
    "an extension type of another",
    "an extension type with another content",
    # No serialiser of Python's wrote them.
    "json of LangGraph.js",
    "json of an old LangGraph",
    "json that isn't UTF-8",
    "a type of another",
    "no type",
    "null with content",
    "null as msgpack",
    "bytes as msgpack",
    "not the shortest integer",
    "a positive integer as a signed one",
    "not the shortest length",
    "not the shortest extension type",
    "a float of 32 bits",
    "a key that comes twice",
    "cut off",
    "cut off inside an extension type",
    "followed by something",
    "empty",
    "a length of 4 GiB",
    "text of 4 GiB",
    "text that isn't UTF-8",
    "the byte that is nothing",
}
"""Vectors that aren't what LangGraph's serialiser makes of the values that it reads from them."""

if pathlib.PosixPath.__module__ != "pathlib":
    NOT_WRITTEN_AGAIN.add("path")  # Python 3.13 has it in another module.
if "Europe/Berlin" not in zoneinfo.available_timezones():
    NOT_WRITTEN_AGAIN.add("zone")


class AsItIs:
    """A serialiser whose values are what LangGraph's makes of values."""

    def dumps_typed(self, obj: Any) -> Any:
        return obj

    def loads_typed(self, data: Any) -> Any:
        return data


def written_again(vector: Any) -> Any:
    try:
        return SERDE.dumps_typed(SERDE.loads_typed(vector))
    except Exception:
        return None


def put_and_get(saver: Any, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Puts values as channels and as a task's outputs, and returns what comes back of each."""
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = versions = dict.fromkeys(values, "1")
    at = saver.put(CONFIG, checkpoint, {}, versions)
    saver.put_writes(at, [*values.items()], "task")
    found = saver.get_tuple(CONFIG)
    writes = {channel: value for _, channel, value in found.pending_writes}
    return found.checkpoint["channel_values"], writes


def stored(url: str, schema: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What SQL has of the channels and of the task's outputs."""
    with psycopg.connect(url) as connection:
        channels = f"SELECT {schema}.state('thread')".encode()
        outputs = f"SELECT channel, {schema}.stored_value(thread_id, value)"
        outputs = f"{outputs} FROM {schema}.pending_writes".encode()
        (state,) = connection.execute(channels).fetchone()
        return state, dict(connection.execute(outputs).fetchall())


def unescaped(value: Any) -> Any:
    """A value without the escapes of what JSONB hasn't got: `docs/sql.md` says which."""
    if isinstance(value, list):
        return [unescaped(item) for item in value]
    if isinstance(value, dict):
        return {unescaped(key): unescaped(item) for key, item in value.items()}
    if isinstance(value, str) and value.startswith("\1n"):
        return float(value[2:])
    if isinstance(value, str) and value.startswith("\1s"):
        return re.sub("\1([01])", lambda escape: "\0\1"[int(escape[1])], value[2:])
    return value


def differ(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names of the values that aren't as expected."""
    names = found.keys() | expected.keys()
    return sorted(name for name in names if found.get(name, ...) != expected.get(name, ...))


def texts(forms: dict[str, Any]) -> dict[str, str]:
    """Forms as texts: of these `1`, `1.0` and `true` differ."""
    return {name: json.dumps(form, sort_keys=True) for name, form in forms.items()}


def assert_has_its_form(names: Any, url: str, schema: str) -> None:
    for found in stored(url, schema):
        assert differ(texts(unescaped(found)), texts({name: FORMS[name] for name in names})) == []


def test_each_vector_comes_back_to_the_byte_and_has_its_form_in_sql(saver, url, schema):
    saver.serde = AsItIs()
    for back in put_and_get(saver, VECTORS):
        assert differ(back, VECTORS) == []
    assert_has_its_form(VECTORS, url, schema)


def test_a_value_that_langgraph_reads_from_a_vector_is_the_vector_again(saver, url, schema):
    others = {name for name, vector in VECTORS.items() if written_again(vector) != vector}
    assert others == NOT_WRITTEN_AGAIN
    expected = {name: it for name, it in VECTORS.items() if name not in NOT_WRITTEN_AGAIN}
    values = {name: SERDE.loads_typed(vector) for name, vector in expected.items()}
    for back in put_and_get(saver, values):
        again = {name: SERDE.dumps_typed(value) for name, value in back.items()}
        assert differ(again, expected) == []
    assert_has_its_form(expected, url, schema)
