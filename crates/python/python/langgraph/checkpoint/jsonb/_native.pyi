from collections.abc import Mapping, Sequence
from typing import final

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.jsonb._types import FoundHistory, FoundTuple, Given, GivenList

__all__ = ["Client", "Inbox", "KnownList", "Listing"]

# Each call returns its answer if there is no inbox, and else its number there.

@final
class Inbox:
    def __new__(cls) -> Inbox: ...
    def fileno(self) -> int: ...
    def take(self) -> list[tuple[int, object, BaseException | None]]: ...
    def cancel(self, number: int) -> None: ...

@final
class Listing:
    def next(self, inbox: Inbox | None) -> list[FoundTuple]: ...

@final
class KnownList:
    def extend(self, type_name: str, bytes: bytes) -> bool: ...

@final
class Client:
    def __new__(
        cls,
        variables: Mapping[str, str],
        *,
        synchronous_commit: bool,
        cache_bytes: int | None,
        max_thread_bytes: int | None,
    ) -> Client: ...
    def connect(self, inbox: Inbox | None) -> None: ...
    def setup(self, inbox: Inbox | None) -> None: ...
    def close(self, inbox: Inbox | None) -> None: ...
    def follow(
        self,
        thread_id: str,
        checkpoint_ns: str,
        channel: str,
        list: list[object],
        messages: frozenset[type[BaseMessage]],
    ) -> tuple[KnownList, list[object]] | None: ...
    def put(
        self,
        inbox: Inbox | None,
        thread_id: str,
        checkpoint_ns: str,
        parent_id: str | None,
        checkpoint: str,
        values: Sequence[Given | GivenList],
        metadata: str,
        new_versions: str,
    ) -> None: ...
    def put_writes(
        self,
        inbox: Inbox | None,
        thread_id: str,
        checkpoint_ns: str,
        checkpoint_id: str,
        task_id: str,
        task_path: str,
        writes: Sequence[Given],
    ) -> None: ...
    def get_tuple(
        self,
        inbox: Inbox | None,
        thread_id: str,
        checkpoint_ns: str,
        checkpoint_id: str | None,
    ) -> FoundTuple | None: ...
    def channel_history(
        self,
        inbox: Inbox | None,
        thread_id: str,
        checkpoint_ns: str,
        checkpoint_id: str | None,
        channels: Sequence[str],
    ) -> list[FoundHistory]: ...
    def list(
        self,
        thread_id: str | None,
        checkpoint_ns: str | None,
        checkpoint_id: str | None,
        filter: str | None,
        before: str | None,
        limit: int | None,
    ) -> Listing: ...
    def delete_thread(self, inbox: Inbox | None, thread_id: str) -> None: ...
    def delete_for_runs(self, inbox: Inbox | None, run_ids: Sequence[str]) -> None: ...
    def copy_thread(self, inbox: Inbox | None, source: str, target: str) -> None: ...
    def prune(
        self, inbox: Inbox | None, thread_ids: Sequence[str], strategy: str
    ) -> None: ...
