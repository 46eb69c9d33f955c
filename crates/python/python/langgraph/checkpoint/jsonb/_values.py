"""Values on their way to the native part and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.jsonb._messages import MESSAGES
from langgraph.checkpoint.jsonb._native import Client, KnownList
from langgraph.checkpoint.jsonb._types import Given, GivenList

INTEGERS = range(-(2**63), 2**64)
"""Those that JSON keeps here."""


def dump(serde: SerializerProtocol, channel: str, value: Any) -> Given:
    """Serialises a value."""
    # LangGraph's saver keeps these in the checkpoint's JSON; msgpack hasn't got them.
    if type(value) is int and value not in INTEGERS and isinstance(serde, JsonPlusSerializer):
        return channel, "json", str(value).encode()
    return channel, *serde.dumps_typed(value)


def dump_all(serde: SerializerProtocol, values: Iterable[tuple[str, Any]]) -> Sequence[Given]:
    """Serialises values."""
    return [dump(serde, channel, value) for channel, value in values]


class Channels:
    """The channels of a thread in one namespace."""

    def __init__(self, native: Client, serde: SerializerProtocol, thread_id: str, ns: str) -> None:
        self._native, self._serde = native, serde
        self._at = (thread_id, ns)

    def dump(self, channel: str, value: Any) -> Given | GivenList:
        """Serialises the value of a channel; of a list the items that are new."""
        # Another serialiser may make of an item what it likes.
        if type(value) is list and type(self._serde) is JsonPlusSerializer:
            if known := self._dump_list(channel, value):
                return channel, known
        return dump(self._serde, channel, value)

    def _dump_list(self, channel: str, value: list[Any]) -> KnownList | None:
        followed = self._native.follow(*self._at, channel, value, MESSAGES)
        if followed is None:
            return None
        known, new = followed
        if new and not known.extend(*self._serde.dumps_typed(new)):
            return None
        return known
