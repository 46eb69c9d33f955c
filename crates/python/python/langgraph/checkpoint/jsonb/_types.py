"""What passes between Python and the native part."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from langgraph.checkpoint.jsonb._native import KnownList

Typed: TypeAlias = tuple[str, bytes]
"""A value as LangGraph's serialiser makes it: the name of a type, and bytes."""

Given: TypeAlias = tuple[str, str, bytes]
"""The channel of a value, and what the serialiser made of it."""

GivenList: TypeAlias = "tuple[str, KnownList]"
"""A channel, and its list of which the new items were serialised."""

FoundWrite: TypeAlias = tuple[str, str, Typed]
"""The task, the channel and the value."""

FoundTuple: TypeAlias = tuple[
    str,
    str,
    str,
    "str | None",
    str,
    str,
    list[tuple[str, Typed]],
    list[FoundWrite],
    list[Typed],
]
"""The thread, the namespace, the ids of the checkpoint and of its parent; the checkpoint without its
values and the metadata, as JSON; the values, the pending writes, and what the parent's tasks have sent.
"""

FoundHistory: TypeAlias = tuple[str, list[FoundWrite], "Typed | None"]
"""The channel, its writes, and the value to begin with."""
