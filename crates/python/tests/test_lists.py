"""Lists: a put serialises the items that are new, and stores what LangGraph's serialiser makes of all."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import math
import random
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.jsonb import AsyncPostgresSaver, PostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

SERDE = JsonPlusSerializer()
CONFIG: Any = {"configurable": {"thread_id": "thread", "checkpoint_ns": ""}}


class OwnMessage(HumanMessage):
    """A message of a class that the package doesn't know."""


class OwnText(str):
    """A text of a class that the package doesn't know."""


@dataclasses.dataclass
class Point:
    x: int


def put(saver: Any, values: dict[str, Any], config: Any = CONFIG) -> Any:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = versions = dict.fromkeys(values, checkpoint["id"])
    return saver.put(config, checkpoint, {}, versions)


def stored(saver: Any, config: Any = CONFIG) -> Any:
    return saver.get_tuple(config).checkpoint["channel_values"]


def assert_stores(saver: Any, value: list[Any]) -> None:
    """Puts a list, and compares what is stored to the byte: types and the order of keys count."""
    expected = SERDE.dumps_typed(value)
    put(saver, {"list": value})
    assert SERDE.dumps_typed(stored(saver)["list"]) == expected


@pytest.fixture
def dumped(monkeypatch):
    """What the serialiser is given."""
    given: list[Any] = []
    dumps_typed = JsonPlusSerializer.dumps_typed

    def spy(self, value):
        given.append(value)
        return dumps_typed(self, value)

    monkeypatch.setattr(JsonPlusSerializer, "dumps_typed", spy)
    return given


def conversation() -> list[Any]:
    call = {"name": "find", "args": {"b": [1, {"c": 0.0}], "a": None}, "id": "call"}
    return [
        HumanMessage("Where is it?", id="1", additional_kwargs={"a": {"b": [1]}}, other=[1]),
        AIMessage([{"type": "text", "text": "I look."}], id="2", tool_calls=[call]),
        ToolMessage("here", tool_call_id="call", id="3", artifact={"n": 1, "t": "é"}),
        {"role": "user", "content": "Thanks", "tags": ["a", 1.5, True, None, b"\xff"]},
        "text",
        7,
        [[], {}],
    ]


def test_a_put_serialises_the_items_that_are_new(saver, dumped):
    messages = conversation()
    put(saver, {"messages": messages})
    for new in (HumanMessage("more", id="4"), {"role": "user"}):
        messages.append(new)
        dumped.clear()
        put(saver, {"messages": messages})
        assert dumped == [[new]]
    dumped.clear()
    put(saver, {"messages": messages})
    assert dumped == []


def test_a_list_that_was_read_again_is_the_same_list(saver, dumped):
    put(saver, {"messages": conversation()})
    messages = stored(saver)["messages"]
    dumped.clear()
    put(saver, {"messages": [*messages, "new"]})
    assert dumped == [["new"]]


def set_key(item: Any, key: str, value: Any) -> None:
    item[key] = value


def reversed_keys(item: Any) -> None:
    members = [*item.items()]
    item.clear()
    item.update(reversed(members))


# Each changes something of `conversation()` in place.
CHANGES = {
    "a text": lambda it: setattr(it[0], "content", "Where is that?"),
    "within a field": lambda it: it[0].additional_kwargs["a"]["b"].append(2),
    "an extra field": lambda it: it[0].other.append(2),
    "a further extra field": lambda it: setattr(it[0], "further", 1),
    "a block of content": lambda it: set_key(it[1].content[0], "text", "I looked."),
    "an argument": lambda it: set_key(it[1].tool_calls[0]["args"], "a", 0),
    "the order of arguments": lambda it: reversed_keys(it[1].tool_calls[0]["args"]),
    "the sign of zero": lambda it: set_key(it[1].tool_calls[0]["args"]["b"][1], "c", -0.0),
    "a float to an int": lambda it: set_key(it[1].tool_calls[0]["args"]["b"][1], "c", 0),
    "an int to a bool": lambda it: set_key(it[2].artifact, "n", True),
    "an int to a float": lambda it: set_key(it[2].artifact, "n", 1.0),
    "a text that looks the same": lambda it: set_key(it[2].artifact, "t", "e\u0301"),
    "a member of a dict": lambda it: set_key(it[3], "content", "Thank you"),
    "a further member": lambda it: set_key(it[3], "name", "Ann"),
    "the order of members": lambda it: reversed_keys(it[3]),
    "bytes to a text": lambda it: set_key(it[3]["tags"], 4, "\xff"),
    "to NaN": lambda it: set_key(it[3]["tags"], 1, math.nan),
    "a class": lambda it: set_key(it, 0, AIMessage("Where is it?", id="1")),
    "to a class that isn't known": lambda it: set_key(it, 0, OwnMessage("Where is it?", id="1")),
    "to a text of another class": lambda it: set_key(it, 4, OwnText("text")),
    "to an object": lambda it: set_key(it, 4, Point(1)),
    "a dict to a list": lambda it: set_key(it[6], 1, []),
    "an item away": lambda it: it.pop(2),
    "the last away": lambda it: it.pop(),
    "the first away": lambda it: it.pop(0),
    "all away": lambda it: it.clear(),
    "the order": lambda it: it.reverse(),
    "one more in front": lambda it: it.insert(0, "first"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_in_place_is_stored_as_it_is(saver, name):
    messages = conversation()
    put(saver, {"list": messages})
    messages.append("further")
    CHANGES[name](messages)
    assert_stores(saver, messages)
    messages.append("yet further")
    assert_stores(saver, messages)
    assert_stores(saver, conversation())


@pytest.mark.parametrize(
    "item", [OwnMessage("a"), OwnText("a"), Point(1), (1, 2), {1: "a"}, {"a": {2}}, bytearray(b"a")]
)
def test_items_that_cannot_be_compared_are_serialised_each_time(saver, item):
    items = ["before", item, "behind"]
    for _ in range(3):
        # A `bytearray` is an error of the serialiser within a list, here as there.
        try:
            SERDE.dumps_typed(items)
        except TypeError as error:
            with pytest.raises(type(error)):
                put(saver, {"list": items})
        else:
            assert_stores(saver, items)
        items.append("more")
    if isinstance(item, Point):
        item.x = 2
        assert_stores(saver, items)
    if isinstance(item, OwnMessage):
        item.content = "b"
        assert_stores(saver, items)


def test_a_list_within_itself_fails_as_with_the_serialiser(saver):
    items: list[Any] = []
    items += [items, items]
    with pytest.raises(Exception) as of_serialiser:
        SERDE.dumps_typed(items)
    with pytest.raises(of_serialiser.type):
        put(saver, {"list": items})


def test_lists_that_change_at_random_are_stored_as_they_are(saver):
    rng = random.Random(1)
    items: list[Any] = []
    for _ in range(60):
        match rng.randrange(6):
            case 0 if items:
                del items[rng.randrange(len(items)) :]
            case 1 if items:
                item = rng.choice(items)
                if isinstance(item, BaseMessage):
                    item.additional_kwargs[f"k{rng.randrange(3)}"] = rng.choice([1, 1.0, True])
            case 2:
                items = copy.deepcopy(items)
            case 3:
                items = stored(saver)["list"] if items and saver.get_tuple(CONFIG) else items
            case _:
                items.extend(rng.choices(conversation(), k=rng.randrange(4)))
        assert_stores(saver, items)


@pytest.mark.parametrize("cache_bytes", [None, 20_000])
def test_long_lists_are_stored_as_they_are_whatever_happens_in_between(url, schema, cache_bytes):
    """Two programs put the same channel; they fork, delete and prune. So long a list is cut."""
    rng = random.Random(2)

    def more() -> list[Any]:
        text = f"{rng.random()} " * 40
        return [HumanMessage(text, id=text[:9]), {"role": "user", "content": text}, text]

    options: Any = {"schema": schema, "cache_bytes": cache_bytes}
    with (
        PostgresSaver.from_conn_string(url, **options) as one,
        PostgresSaver.from_conn_string(url, **options) as other,
    ):
        one.setup()
        lists: Any = {one: more(), other: more()}
        puts: list[tuple[Any, bytes]] = []
        for _ in range(60):
            saver = rng.choice([one, one, one, other])
            items, at = lists[saver], puts[-1][0] if puts else CONFIG
            match rng.randrange(12):
                case 0:
                    del items[rng.randrange(len(items) + 1) :]
                case 1 if items:
                    items[rng.randrange(len(items))] = "edited"
                case 2:
                    rng.choice([it for it in [{}, *items] if type(it) is dict])["k"] = rng.random()
                case 3 if puts:
                    at = rng.choice(puts)[0]
                    items = lists[saver] = stored(saver, at)["list"]
                case 4:
                    rng.choice([one, other]).delete_thread("thread")
                    puts, at = [], CONFIG
                case 5:
                    rng.choice([one, other]).prune(["thread"])
                    puts = puts[-1:]
                case _:
                    items.extend(rng.choices(more(), k=rng.randrange(4)))
            expected = SERDE.dumps_typed(items)[1]
            puts.append((put(saver, {"list": items}, at), expected))
            for at, expected in (puts[-1], rng.choice(puts)):
                assert SERDE.dumps_typed(stored(rng.choice([one, other]), at)["list"])[1] == expected


def test_puts_of_one_channel_that_overlap_store_their_own_lists(url, schema, run):
    async def work() -> None:
        options: Any = {"schema": schema}
        async with AsyncPostgresSaver.from_conn_string(url, **options) as saver:
            await saver.setup()
            items: list[Any] = [{"step": 0, "text": "x" * 2000}]
            for step in range(1, 8):
                puts, expected = [], []
                for number in range(4):
                    items.append({"step": step, "text": str(number) * 500})
                    if number == 2:
                        items[rng.randrange(len(items))]["step"] = -step
                    checkpoint = empty_checkpoint()
                    checkpoint["channel_values"] = {"list": items}
                    checkpoint["channel_versions"] = versions = {"list": checkpoint["id"]}
                    call = saver.aput(CONFIG, checkpoint, {}, versions)
                    puts.append(asyncio.ensure_future(call))
                    # It begins, and takes the list as it is now.
                    await asyncio.sleep(0)
                    expected.append(SERDE.dumps_typed(items))
                if step % 3 == 0:
                    # What a call has sent goes on.
                    puts.pop().cancel()
                    expected.pop()
                for at, value in zip(await asyncio.gather(*puts), expected, strict=True):
                    found = await saver.aget_tuple(at)
                    assert SERDE.dumps_typed(found.checkpoint["channel_values"]["list"]) == value

    rng = random.Random(3)
    run(work())


def test_each_thread_namespace_and_channel_has_lists_of_its_own(saver):
    configs = [
        {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns}}
        for thread_id in ("a", "b")
        for ns in ("", "sub:1")
    ]
    for length in range(3):
        for number, config in enumerate(configs):
            values = {"x": [number, *range(length)], "y": [-number, *range(length)]}
            put(saver, values, config)
            assert stored(saver, config) == values


def test_a_copy_of_a_saver_with_another_serialiser_serialises_all(saver):
    class Upper:
        """A serialiser that makes something of a list that depends on its length."""

        def dumps_typed(self, value):
            return SERDE.dumps_typed([len(value), *value] if isinstance(value, list) else value)

        def loads_typed(self, data):
            return SERDE.loads_typed(data)

    put(saver, {"list": ["a"]})
    other = copy.copy(saver)
    other.serde = Upper()
    put(other, {"list": ["a", "b"]})
    assert stored(saver)["list"] == [2, "a", "b"]
    put(saver, {"list": ["a", "b"]})
    assert stored(saver)["list"] == ["a", "b"]


def test_without_memory_all_is_serialised_and_stored_the_same(url, schema, dumped):
    with PostgresSaver.from_conn_string(url, schema=schema, cache_bytes=0) as saver:
        saver.setup()
        messages = conversation()
        put(saver, {"list": messages})
        dumped.clear()
        assert_stores(saver, [*messages, "more"])
        assert len(dumped[1]) == len(messages) + 1


@pytest.mark.parametrize(
    ("text", "is_remembered"),
    [
        ("a" * 20_000, True),
        ("中" * 5_000, True),
        # Python takes two or four bytes for each character and keeps the UTF-8 besides; the JSON has it, too.
        ("中" * 10_000, False),
        ("a" * 9_999 + "😀", False),
    ],
)
def test_a_text_counts_by_the_memory_that_it_takes(url, schema, dumped, text, is_remembered):
    # A quarter of it is for lists, and one list may take half of that.
    with PostgresSaver.from_conn_string(url, schema=schema, cache_bytes=200_000) as saver:
        saver.setup()
        put(saver, {"list": [text]})
        dumped.clear()
        assert_stores(saver, [text, "new"])
        assert dumped[1] == (["new"] if is_remembered else [text, "new"])


def test_threads_that_put_the_same_channel_at_once_store_their_own_lists(saver):
    failures: list[Any] = []

    def work(number: int) -> None:
        messages: list[Any] = []
        for step in range(30):
            # The threads share what they begin with, and then differ.
            messages.append({"step": step, "by": number if step > 3 else 0})
            if step > 5:
                messages[rng.randrange(step)]["by"] = step
            at = put(saver, {"list": messages})
            if stored(saver, at)["list"] != messages:
                failures.append((number, step))

    rng = random.Random(1)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
