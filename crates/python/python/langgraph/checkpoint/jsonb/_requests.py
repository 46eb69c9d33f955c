"""What the native part is asked, made of what LangGraph gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from langgraph.checkpoint.jsonb import _metadata
from langgraph.checkpoint.jsonb._native import Client
from langgraph.checkpoint.jsonb._types import Given, GivenList
from langgraph.checkpoint.jsonb._values import Channels

_to_json = json.JSONEncoder(allow_nan=False).encode


def target(config: RunnableConfig) -> tuple[str, str, str | None]:
    """The thread, the namespace, and the checkpoint unless it is the head."""
    configurable: Mapping[str, Any] = config.get("configurable", {})
    return (
        str(configurable["thread_id"]),
        configurable.get("checkpoint_ns", ""),
        configurable.get("checkpoint_id") or None,
    )


def checkpoint(config: RunnableConfig) -> tuple[str, str, str]:
    """The thread, the namespace and the checkpoint."""
    thread_id, checkpoint_ns, checkpoint_id = target(config)
    if checkpoint_id is None:
        raise KeyError("checkpoint_id")
    return thread_id, checkpoint_ns, checkpoint_id


def address(config: RunnableConfig, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint in the thread and namespace of another."""
    configurable: Mapping[str, Any] = config.get("configurable", {})
    return {
        "configurable": {
            "thread_id": configurable["thread_id"],
            "checkpoint_ns": configurable.get("checkpoint_ns", ""),
            "checkpoint_id": checkpoint_id,
        }
    }


def put(
    native: Client,
    serde: SerializerProtocol,
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
) -> tuple[str, str, str | None, str, Sequence[Given | GivenList], str, str]:
    """A checkpoint to put: its address with its parent's id, and its contents."""
    fields: dict[str, Any] = {"ts": "", "versions_seen": {}, **checkpoint}
    values: Mapping[str, Any] = fields.pop("channel_values", {})
    thread_id, checkpoint_ns, parent_id = target(config)
    channels = Channels(native, serde, thread_id, checkpoint_ns)
    return (
        thread_id,
        checkpoint_ns,
        parent_id,
        _to_json(fields),
        [channels.dump(channel, value) for channel, value in values.items()],
        _metadata.to_json(get_serializable_checkpoint_metadata(config, metadata)),
        _to_json(new_versions),
    )


def selection(
    config: RunnableConfig | None,
    filter: Mapping[str, Any] | None,
    before: RunnableConfig | None,
    limit: int | None,
) -> tuple[str | None, str | None, str | None, str | None, str | None, int | None]:
    """Which checkpoints are to be listed."""
    configurable: Mapping[str, Any] = (config or {}).get("configurable", {})
    thread_id = configurable.get("thread_id")
    end: Mapping[str, Any] = (before or {}).get("configurable", {})
    return (
        None if thread_id is None else str(thread_id),
        configurable.get("checkpoint_ns"),
        configurable.get("checkpoint_id") or None,
        _metadata.to_json(filter) if filter else None,
        end.get("checkpoint_id") or None,
        None if limit is None else int(limit),
    )


def texts(name: str, given: Sequence[str]) -> Sequence[str]:
    """Several ids, or names of channels."""
    if isinstance(given, str):
        raise TypeError(f"{name} must be a sequence, not a str")
    return [str(text) for text in given]
