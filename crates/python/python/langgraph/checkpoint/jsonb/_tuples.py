"""What the native part answers, made into what LangGraph takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from langgraph.checkpoint.jsonb import _metadata
from langgraph.checkpoint.jsonb._types import FoundHistory, FoundTuple, FoundWrite

# The channel of what tasks send to others.
_TASKS = "__pregel_tasks"


def load(
    serde: SerializerProtocol, found: FoundTuple, config: RunnableConfig | None = None
) -> CheckpointTuple:
    """Makes a tuple. It has the thread's id as the config that asked for it has it."""
    thread_id, ns, checkpoint_id, parent_id, text, metadata, values, writes, sends = found
    if config is not None:
        configurable: Mapping[str, Any] = config.get("configurable", {})
        thread_id = configurable["thread_id"]
    checkpoint = cast(Checkpoint, json.loads(text))
    checkpoint["channel_values"] = {
        channel: serde.loads_typed(value) for channel, value in values
    }
    if sends:
        _add_sends(checkpoint, [serde.loads_typed(send) for send in sends])
    return CheckpointTuple(
        _config(thread_id, ns, checkpoint_id),
        checkpoint,
        _metadata.from_json(metadata),
        _config(thread_id, ns, parent_id) if parent_id else None,
        _load_writes(serde, writes),
    )


def load_histories(
    serde: SerializerProtocol, found: Sequence[FoundHistory]
) -> Mapping[str, DeltaChannelHistory]:
    """Makes the histories of channels."""
    histories: dict[str, DeltaChannelHistory] = {}
    for channel, writes, seed in found:
        history: DeltaChannelHistory = {"writes": _load_writes(serde, writes)}
        if seed is not None:
            history["seed"] = serde.loads_typed(seed)
        histories[channel] = history
    return histories


def _config(thread_id: str, checkpoint_ns: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": checkpoint_ns,
            "checkpoint_id": checkpoint_id,
        }
    }


def _load_writes(serde: SerializerProtocol, writes: Sequence[FoundWrite]) -> list[PendingWrite]:
    return [(task_id, channel, serde.loads_typed(value)) for task_id, channel, value in writes]


def _add_sends(checkpoint: Checkpoint, sends: Sequence[Any]) -> None:
    """Before format 4 what tasks sent was kept with the parent; it is a channel of its own since."""
    checkpoint["channel_values"][_TASKS] = list(sends)
    versions = checkpoint["channel_versions"]
    versions[_TASKS] = max(cast("list[str]", [*versions.values()]), default=f"{1:032}.0")
