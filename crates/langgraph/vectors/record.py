"""Record what LangGraph's own serialiser writes, as test vectors for the form of its values.

Needs: pip install langgraph==1.2.24 langgraph-checkpoint==4.3.2 langchain-core==1.8.3 numpy pydantic pycryptodome
Usage: PYTHONHASHSEED=0 python record.py > serialized.json

Each vector has a `name`, a `type` and its bytes as base64. They are made once: ids and dates are
fixed, but what a later LangGraph writes may differ.
"""

import base64
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import json
import pathlib
import re
import sys
import uuid
import zoneinfo
from typing import Any, NamedTuple

import numpy as np
import ormsgpack
import pydantic
import pydantic.v1
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    y: int
    x: int


@dataclasses.dataclass
class Order:
    number: int
    lines: list
    v: str = "a field of the same name as the member of a tagged value"


class Customer(pydantic.BaseModel):
    model_config = {"extra": "allow"}
    name: str
    born: dt.date | None = None
    secret: pydantic.SecretStr | None = None


class OldCustomer(pydantic.v1.BaseModel):
    name: str


# Names as users' own modules have them.
for cls in (Color, Level, Point, Order, Customer, OldCustomer):
    cls.__module__ = "shop.models"


@dataclasses.dataclass
class Spaced:
    a: int


Spaced.__name__ = "a name"

TS = dt.datetime(2026, 11, 28, 12, 30, 15, 123456, tzinfo=dt.timezone.utc)
ID = uuid.UUID("1f0cd8a4-5f4e-6b1a-8000-0123456789ab")


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels - 1):
        value = [value]
    return value


VALUES: dict[str, Any] = {
    "none": None,
    "true": True,
    "false": False,
    "integers": [0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63, 2**64 - 1],
    "negative integers": [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)],
    "floats": [0.0, -0.0, 1.0, 0.1, 1e20, 1e21, 1.5e300, 5e-324, 2.0**53],
    "not finite": [float("nan"), float("inf"), float("-inf")],
    "text": ["", "a", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "€ 😀 \u202e", "nul \0", "one \u0001", "\ufffe"],
    "lone surrogate": "\ud800",
    "long text": "x" * 65536,
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"\x00\xff"),
    "bytes inside": [b"", b"\x00\xff", b"x" * 256],
    "list": [1, [2, [3, []]]],
    "tuple": (1, (2,)),
    "long list": list(range(20)),
    "dict, sorted": {"a": 1, "aa": 2, "b": {"c": None}},
    "dict, not sorted": {"b": 1, "aa": 2, "a": {"z": 1, "y": 2}},
    "dict, sorted as JSONB has it": {"a": 1, "b": 2, "aa": 3},
    "dict, empty": {},
    "dict, empty key": {"": 0},
    "dict with the tag's key": {"!": "bytes", "v": "AAA="},
    "dict with reserved keys, not sorted": {"b": 1, "!order": "1 0", "!": 2, "!!": 3},
    "dict with the key v": {"v": 1},
    "dict with integer keys": {1: "a", 0: "b"},
    "dict with mixed keys": {"a": 1, 2: "b", None: "c", True: "d", 1.5: "e", (1, "x"): "f"},
    "dict with an enum key": {Color.RED: 1},
    "dict with many keys": {f"k{n}": n for n in range(20)},
    "a private key": {"$serde_json::private::Number": "1"},
    "OrderedDict": collections.OrderedDict(b=1, a=2),
    "defaultdict": collections.defaultdict(list, b=[1]),
    "uuid": ID,
    "decimal": decimal.Decimal("1.10"),
    "set": {7},
    "frozenset": frozenset(["a"]),
    "deque": collections.deque([1, 2]),
    "enum": Color.RED,
    "int enum": Level.HIGH,
    "ip": [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_network("fe80::/10")],
    "zone": zoneinfo.ZoneInfo("Europe/Berlin"),
    "secret": pydantic.SecretStr("hunter2"),
    "path": pathlib.PosixPath("/a/b c"),
    "pattern": re.compile("a+", re.I),
    "timedelta": dt.timedelta(days=1, microseconds=5),
    "date": dt.date(2026, 11, 28),
    "time": dt.time(12, 30, 15),
    "timezone": dt.timezone(dt.timedelta(hours=2)),
    "datetime": [TS, TS.replace(tzinfo=None)],
    "namedtuple": Point(y=2, x=1),
    "dataclass": Order(4711, [{"sku": "a", "n": 1}]),
    "a class with a space in its name": Spaced(1),
    "pydantic": Customer(name="Ada", born=dt.date(1815, 12, 10)),
    "pydantic with a secret": Customer(name="Ada", secret=pydantic.SecretStr("hunter2")),
    "pydantic with a reserved key": Customer(**{"name": "Ada", "!": 1}),
    "pydantic 1": OldCustomer(name="Ada"),
    "numpy": np.arange(6, dtype="<i4").reshape(2, 3),
    "numpy, column by column": np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)),
    "numpy, other types": [np.array(["ab", "c"]), np.array([True]), np.array(3), np.zeros((0, 2))],
    "send": Send("worker", {"doc": "a", "at": TS}),
    "send with a message": Send("worker", [HumanMessage("hi", id="h-1")]),
    "interrupt": [Interrupt(value={"question": "publish?"}, id="i-1")],
    "command": Command(update={"b": 1, "a": [Send("x", 1)]}, goto="n", resume={"k": True}),
    "overwrite": Overwrite(value=[1]),
    "item": Item(namespace=("users", "1"), key="k", value={"b": 1, "a": 2}, created_at=TS, updated_at=TS),
    "delta snapshot": _DeltaSnapshot([HumanMessage("hi", id="h-1")]),
    "exception": ValueError("no"),
    "human message": HumanMessage("Where is my order?", id="h-1"),
    "messages": [
        SystemMessage("Be kind.", id="s-1"),
        HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "data:,"}}], id="h-1"),
        AIMessage(
            content="",
            id="ai-1",
            tool_calls=[{"name": "grep", "args": {"pattern": "a", "count": 3, "all": True}, "id": "call-1"}],
            usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
            response_metadata={"model": "m", "finish_reason": "tool_calls"},
            additional_kwargs={"refusal": None},
        ),
        ToolMessage("3 lines", tool_call_id="call-1", id="t-1", artifact={"lines": [1, 2, 3]}, status="success"),
        RemoveMessage(id="h-0"),
        AIMessageChunk(content="par", id="ai-2", tool_call_chunks=[{"name": "f", "args": "{", "id": "c", "index": 0}]),
    ],
    "document": Document(page_content="text", metadata={"source": "a", "page": 1}, id="d-1"),
    "nested objects": {"orders": {1: [Order(1, [Point(1, 2)])], 2: (Color.RED, {ID})}},
    "nested 100 deep": deep(100),
    "nested 101 deep": deep(101),
    "nested 200 deep": deep(200),
    "a set of sets": {frozenset([1])},
    "an extension type of another": ormsgpack.Ext(42, b"abc"),
    "an extension type with another content": ormsgpack.Ext(5, ormsgpack.packb(["only", "two"])),
}

NOT_FROM_THE_SERIALISER = {
    "json of LangGraph.js": ("json", b'{"lc":1,"type":"constructor","id":["langchain_core","messages","HumanMessage"],"kwargs":{"content":"hi"}}'),
    "json of an old LangGraph": ("json", b'{"b": 1, "a": [1, 2]}'),
    "json that isn't UTF-8": ("json", b'"\xff"'),
    "a type of another": ("zstd", b"\x28\xb5\x2f\xfd"),
    "no type": ("", b"\x01"),
    "null with content": ("null", b"\x01"),
    "null as msgpack": ("msgpack", b"\xc0"),
    "bytes as msgpack": ("msgpack", b"\xc4\x01\xff"),
    "not the shortest integer": ("msgpack", b"\xcc\x01"),
    "a positive integer as a signed one": ("msgpack", b"\xd0\x01"),
    "not the shortest length": ("msgpack", b"\xd9\x01a"),
    "not the shortest extension type": ("msgpack", b"\xc7\x01\x2a\x00"),
    "a float of 32 bits": ("msgpack", b"\xca\x3f\x00\x00\x00"),
    "other NaNs": ("msgpack", b"\x92\xcb\xff\xf8\x00\x00\x00\x00\x00\x00\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01"),
    "a key that comes twice": ("msgpack", b"\x82\xa1a\x01\xa1a\x02"),
    "cut off": ("msgpack", b"\x93\x01\x02"),
    "cut off inside an extension type": ("msgpack", b"\x91\xc7\x05\x07\x93\x01\x02\xa1"),
    "followed by something": ("msgpack", b"\x01\x02"),
    "empty": ("msgpack", b""),
    "a length of 4 GiB": ("msgpack", b"\xdd\xff\xff\xff\xff\x01"),
    "text of 4 GiB": ("msgpack", b"\xdb\xff\xff\xff\xffa"),
    "text that isn't UTF-8": ("msgpack", b"\xa1\xff"),
    "the byte that is nothing": ("msgpack", b"\xc1"),
}


def main() -> None:
    serde = JsonPlusSerializer()
    vectors = {name: serde.dumps_typed(value) for name, value in VALUES.items()}
    vectors["pickle"] = JsonPlusSerializer(pickle_fallback=True).dumps_typed(2**80)
    encrypted = EncryptedSerializer.from_pycryptodome_aes(serde, key=b"0123456789abcdef", nonce=b"fedcba9876543210")
    vectors["encrypted"] = encrypted.dumps_typed(VALUES["human message"])
    vectors |= NOT_FROM_THE_SERIALISER
    lines = [
        json.dumps({"name": name, "type": type_, "bytes": base64.b64encode(data).decode()}, ensure_ascii=False)
        for name, (type_, data) in vectors.items()
    ]
    sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")


main()
