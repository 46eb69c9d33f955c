"""Values on their way to the native part and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph.checkpoint.jsonb._types import Given

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
