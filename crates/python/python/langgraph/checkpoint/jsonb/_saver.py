"""The savers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from typing_extensions import Self, Unpack, override

from langgraph.checkpoint.jsonb import _options, _requests, _tuples
from langgraph.checkpoint.jsonb._loop import call
from langgraph.checkpoint.jsonb._options import Options
from langgraph.checkpoint.jsonb._values import dump_all


class BaseSaver(BaseCheckpointSaver[str]):
    """What both savers have: each method in two forms, one that waits and one to await.

    Calls may come from any thread and any event loop, and a call that waits may come from within a
    loop. Each process has connections of its own, also one that was forked.
    """

    def __init__(
        self,
        conn: object,
        *,
        serde: SerializerProtocol | None = None,
        **options: Unpack[Options],
    ) -> None:
        """Makes a saver, which connects when it is first used.

        Args:
            conn: A connection string, as a URL or as `name=value` pairs. Of a connection or a pool of
                psycopg it takes what says where the server is, and opens connections of its own.
            serde: Serialises the values; LangGraph's `JsonPlusSerializer` by default.
            options: See `Options`.
        """
        super().__init__(serde=serde)
        self._arguments = (_options.conninfo_of(conn), options)
        self._native = _options.client(*self._arguments)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_native"]
        # LangGraph's default can't be pickled, and is the same everywhere.
        if self.serde is BaseCheckpointSaver.serde:
            del state["serde"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._native = _options.client(*self._arguments)

    def __copy__(self) -> Self:
        # A copy shares the connections, where what was pickled has connections of its own.
        clone = type(self).__new__(type(self))
        clone.__dict__.update(self.__dict__)
        return clone

    def close(self) -> None:
        """Waits for what is being written, and closes the connections."""
        self._native.close(None)

    async def aclose(self) -> None:
        """Waits for what is being written, and closes the connections."""
        await call(self._native.close)

    @override
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Reads the checkpoint that a config names, or the head of its thread and namespace."""
        found = self._native.get_tuple(None, *_requests.target(config))
        return found and _tuples.load(self.serde, found, config)

    @override
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Reads the checkpoint that a config names, or the head of its thread and namespace."""
        found = await call(self._native.get_tuple, *_requests.target(config))
        return found and _tuples.load(self.serde, found, config)

    @override
    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Lists checkpoints by id, the greatest first, page by page.

        Without a config it lists those of all threads, and without a namespace those of all
        namespaces. It holds no connection in between: other calls inside the loop work.
        """
        listing = self._native.list(*_requests.selection(config, filter, before, limit))
        while page := listing.next(None):
            for found in page:
                yield _tuples.load(self.serde, found)

    @override
    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Lists checkpoints by id, the greatest first, page by page.

        Without a config it lists those of all threads, and without a namespace those of all
        namespaces. It holds no connection in between: other calls inside the loop work.
        """
        listing = self._native.list(*_requests.selection(config, filter, before, limit))
        while page := await call(listing.next):
            for found in page:
                yield _tuples.load(self.serde, found)

    @override
    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint with its values, and makes it the head of its namespace."""
        put = _requests.put(
            self._native, self.serde, config, checkpoint, metadata, new_versions
        )
        self._native.put(None, *put)
        return _requests.address(config, checkpoint["id"])

    @override
    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint with its values, and makes it the head of its namespace."""
        put = _requests.put(
            self._native, self.serde, config, checkpoint, metadata, new_versions
        )
        await call(self._native.put, *put)
        return _requests.address(config, checkpoint["id"])

    @override
    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Stores the outputs of a task that ran on a checkpoint."""
        at = _requests.checkpoint(config)
        self._native.put_writes(None, *at, task_id, task_path, dump_all(self.serde, writes))

    @override
    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Stores the outputs of a task that ran on a checkpoint."""
        at = _requests.checkpoint(config)
        values = dump_all(self.serde, writes)
        await call(self._native.put_writes, *at, task_id, task_path, values)

    @override
    def delete_thread(self, thread_id: str) -> None:
        """Deletes a thread with everything in it."""
        self._native.delete_thread(None, str(thread_id))

    @override
    async def adelete_thread(self, thread_id: str) -> None:
        """Deletes a thread with everything in it."""
        await call(self._native.delete_thread, str(thread_id))

    @override
    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints of runs, but for those that others are rebuilt from."""
        self._native.delete_for_runs(None, _requests.texts("run_ids", run_ids))

    @override
    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints of runs, but for those that others are rebuilt from."""
        await call(self._native.delete_for_runs, _requests.texts("run_ids", run_ids))

    @override
    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies a thread with all its checkpoints and writes. The target must not exist."""
        self._native.copy_thread(None, str(source_thread_id), str(target_thread_id))

    @override
    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies a thread with all its checkpoints and writes. The target must not exist."""
        await call(self._native.copy_thread, str(source_thread_id), str(target_thread_id))

    @override
    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Removes old checkpoints of threads.

        `keep_latest` keeps the latest of each namespace, with what it is rebuilt from; `delete` and
        `delete_all` delete the threads.
        """
        self._native.prune(None, _requests.texts("thread_ids", thread_ids), strategy)

    @override
    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Removes old checkpoints of threads.

        `keep_latest` keeps the latest of each namespace, with what it is rebuilt from; `delete` and
        `delete_all` delete the threads.
        """
        await call(self._native.prune, _requests.texts("thread_ids", thread_ids), strategy)

    @override
    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Reads the writes from which channels are rebuilt, and the value to begin with."""
        at = _requests.target(config)
        found = self._native.channel_history(None, *at, _requests.texts("channels", channels))
        return _tuples.load_histories(self.serde, found)

    @override
    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Reads the writes from which channels are rebuilt, and the value to begin with."""
        at = _requests.target(config)
        channels = _requests.texts("channels", channels)
        found = await call(self._native.channel_history, *at, channels)
        return _tuples.load_histories(self.serde, found)

    @override
    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Makes the version that follows another, as LangGraph's saver for PostgreSQL does.

        It sorts by age, and two forks never make the same.
        """
        if current is None:
            number = 0
        elif isinstance(current, int):
            number = current
        else:
            number = int(current.split(".")[0])
        return f"{number + 1:032}.{random.random():016}"


class PostgresSaver(BaseSaver):
    """Stores checkpoints in PostgreSQL. It takes the place of LangGraph's `PostgresSaver`."""

    @classmethod
    @contextmanager
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        pipeline: bool = False,
        serde: SerializerProtocol | None = None,
        **options: Unpack[Options],
    ) -> Iterator[Self]:
        """Connects, and closes the connections at the end of the block.

        Args:
            conn_string: As a URL or as `name=value` pairs.
            pipeline: Of no effect: a write is one round trip in any case.
            serde: Serialises the values; LangGraph's `JsonPlusSerializer` by default.
            options: See `Options`.
        """
        saver = cls(conn_string, serde=serde, **options)
        try:
            saver._native.connect(None)
            yield saver
        finally:
            saver.close()

    def setup(self) -> None:
        """Makes the tables or migrates them. Call it when the program starts."""
        self._native.setup(None)


class AsyncPostgresSaver(BaseSaver):
    """Stores checkpoints in PostgreSQL. It takes the place of LangGraph's `AsyncPostgresSaver`."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(
        cls,
        conn_string: str,
        *,
        pipeline: bool = False,
        serde: SerializerProtocol | None = None,
        **options: Unpack[Options],
    ) -> AsyncIterator[Self]:
        """Connects, and closes the connections at the end of the block.

        Args:
            conn_string: As a URL or as `name=value` pairs.
            pipeline: Of no effect: a write is one round trip in any case.
            serde: Serialises the values; LangGraph's `JsonPlusSerializer` by default.
            options: See `Options`.
        """
        saver = cls(conn_string, serde=serde, **options)
        try:
            await call(saver._native.connect)
            yield saver
        finally:
            await saver.aclose()

    async def setup(self) -> None:
        """Makes the tables or migrates them. Call it when the program starts."""
        await call(self._native.setup)
