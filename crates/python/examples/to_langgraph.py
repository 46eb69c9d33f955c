"""Copies all threads of this project's saver to the tables of LangGraph's own saver for PostgreSQL.

    DATABASE_URL=postgres://agents@localhost/agents python to_langgraph.py

It needs langgraph-checkpoint-jsonb and langgraph-checkpoint-postgres. `DB_SCHEMA` is the schema that it reads from,
`checkpointer` by default. `LANGGRAPH_DATABASE_URL` is the database of LangGraph's tables, by default the same; with
`?options=-c%20search_path%3Dlanggraph` they are in the schema `langgraph`. Both have to be servers, not poolers.

Stop all runs before. The program may be stopped and run again: it leaves what is there already. It reads each
checkpoint back from LangGraph's saver, prints what differs, and exits with 1 if anything does.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP, ChannelVersions, CheckpointTuple
from langgraph.checkpoint.jsonb import PostgresSaver
from langgraph.checkpoint.postgres import PostgresSaver as LangGraphsSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg import sql
from psycopg.rows import dict_row
from typing_extensions import LiteralString


class Serialized(NamedTuple):
    """A value as it is stored: the name of a type, and bytes."""

    type_name: str
    data: bytes


# The type of a list of what tasks have sent. It is never stored.
_SENT = "sent"


class AsStored:
    """A serialiser that leaves values as they are stored.

    It changes no byte, and needs neither the classes of the values nor the key of what is encrypted.
    """

    _plain = JsonPlusSerializer()

    def loads_typed(self, data: tuple[str, bytes]) -> Serialized:
        return Serialized(*data)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        if isinstance(obj, Serialized):
            return obj
        # Checkpoints before format 4 have what tasks have sent as a list, which a saver makes when it reads. It is
        # only compared.
        if isinstance(obj, list):
            return _SENT, repr(obj).encode()
        # All others are texts and numbers that LangGraph's saver keeps as JSON. Msgpack has no longer integers.
        if type(obj) is int and obj not in range(-(2**63), 2**64):
            return "json", str(obj).encode()
        return self._plain.dumps_typed(obj)


class Tables:
    """Reads what no method of a saver says: which checkpoints there are, and the paths of tasks."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str) -> None:
        self._connection, self._schema = connection, sql.Identifier(schema)

    def threads(self) -> list[str]:
        rows = self._rows("SELECT thread_id FROM {}.threads WHERE deleted_at IS NULL ORDER BY thread_id")
        return [thread_id for (thread_id,) in rows]

    def checkpoints(self, thread_id: str) -> list[RunnableConfig]:
        """The checkpoints of a thread, the oldest of each namespace first."""
        rows = self._rows(
            "SELECT checkpoint_ns, checkpoint_id FROM {}.checkpoints WHERE thread_id = %s ORDER BY seq", thread_id
        )
        return [config_of(thread_id, ns, checkpoint_id) for ns, checkpoint_id in rows]

    def task_paths(self, config: RunnableConfig) -> list[str]:
        """The path of the task of each pending write of a checkpoint, in the order of the saver."""
        rows = self._rows(
            "SELECT task_path FROM {}.pending_writes WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s"
            " ORDER BY task_path, task_id, idx",
            *config["configurable"].values(),
        )
        return [path for (path,) in rows]

    def _rows(self, query: LiteralString, *parameters: str) -> list[Any]:
        return self._connection.execute(sql.SQL(query).format(self._schema), parameters).fetchall()


def config_of(thread_id: str, ns: str, checkpoint_id: str | None = None) -> RunnableConfig:
    configurable = {"thread_id": thread_id, "checkpoint_ns": ns}
    return {"configurable": {**configurable, **({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}}


def id_of(config: RunnableConfig) -> str:
    """The id of a checkpoint. LangGraph's savers order by it."""
    return str(config["configurable"]["checkpoint_id"])


@dataclass
class Report:
    """What has been done so far."""

    threads: int = 0
    """The threads that are done, of so many:"""
    of: int = 0
    copied: int = 0
    """Checkpoints that were put."""
    present: int = 0
    """Checkpoints that were there already."""
    losses: list[str] = field(default_factory=list)
    """What LangGraph's tables lack, or have otherwise."""


class WayBack:
    """Copies threads from one saver to the other. Both have the serialiser `AsStored`."""

    def __init__(self, source: PostgresSaver, tables: Tables, target: LangGraphsSaver) -> None:
        self._source, self._tables, self._target = source, tables, target
        self._report = Report()

    def run(self, progress: Callable[[Report], None]) -> Report:
        threads = self._tables.threads()
        self._report.of = len(threads)
        for thread_id in threads:
            checkpoints = self._tables.checkpoints(thread_id)
            if self._has_gone_on(thread_id, checkpoints):
                self._report.losses.append(f"{thread_id}: left as it is: LangGraph's tables have a newer checkpoint")
            else:
                self._copy_checkpoints(checkpoints, progress)
            self._report.threads += 1
            progress(self._report)
        return self._report

    def _has_gone_on(self, thread_id: str, checkpoints: list[RunnableConfig]) -> bool:
        """Whether LangGraph's newest checkpoint of a thread is newer than all here.

        An older one that isn't here may have been pruned.
        """
        newest_here = max((id_of(config) for config in checkpoints), default="")
        # As a list: what `list` returns holds a lock until all is read.
        newest = [*self._target.list({"configurable": {"thread_id": thread_id}}, limit=1)]
        return any(id_of(found.config) > newest_here for found in newest)

    def _copy_checkpoints(self, checkpoints: list[RunnableConfig], progress: Callable[[Report], None]) -> None:
        # The namespaces, channels and versions whose values LangGraph's saver has.
        stored: set[tuple[str, str, str]] = set()
        for config in checkpoints:
            found = self._source.get_tuple(config)
            if found is None:
                continue
            name = " ".join(filter(None, config["configurable"].values()))
            try:
                differing = self._copy(found, stored)
            except (psycopg.DataError, psycopg.errors.ProgramLimitExceeded) as error:
                self._report.losses.append(f"{name}: not stored: {str(error).splitlines()[0]}")
            else:
                self._report.losses.extend(f"{name}: differs: {what}" for what in differing)
            progress(self._report)

    def _copy(self, found: CheckpointTuple, stored: set[tuple[str, str, str]]) -> list[str]:
        """Copies a checkpoint, and returns what differs afterwards."""
        there = self._target.get_tuple(found.config)
        if there is None:
            self._put(found, stored)
            self._report.copied += 1
        else:
            self._report.present += 1
        if there is None or there.pending_writes != found.pending_writes:
            self._put_writes(found, there)
        return differences(found, self._target.get_tuple(found.config))

    def _put(self, found: CheckpointTuple, stored: set[tuple[str, str, str]]) -> None:
        thread_id, ns, _ = found.config["configurable"].values()
        checkpoint = found.checkpoint
        # The tables have versions as texts.
        versions = {channel: str(version) for channel, version in checkpoint["channel_versions"].items()}
        new: ChannelVersions = {
            channel: versions[channel]
            for channel in checkpoint["channel_values"]
            if channel in versions and (ns, channel, versions[channel]) not in stored
            # What was made of the parent's writes is made of them again.
            and not isinstance(checkpoint["channel_values"][channel], list)
        }
        self._target.put(found.parent_config or config_of(thread_id, ns), checkpoint, found.metadata, new)
        stored.update((ns, channel, versions[channel]) for channel in new)

    def _put_writes(self, found: CheckpointTuple, there: CheckpointTuple | None) -> None:
        """Stores the writes of the tasks that aren't all there.

        Those of others may have other places: LangGraph's saver counts errors and answers along. They would be stored
        twice.
        """
        present = Counter(there.pending_writes or [] if there else [])
        writes = zip(found.pending_writes or [], self._tables.task_paths(found.config), strict=True)

        # Errors, interrupts and answers have places of their own beside the outputs of a task.
        def batch(write: tuple[Any, str]) -> tuple[str, str, bool]:
            (task_id, channel, _), path = write
            return task_id, path, channel in WRITES_IDX_MAP

        for (task_id, path, _), group in groupby(writes, key=batch):
            of_task = [write for write, _ in group]
            if not Counter(of_task) <= present:
                outputs = [(channel, value) for _, channel, value in of_task]
                self._target.put_writes(found.config, outputs, task_id, path)


def differences(found: CheckpointTuple, there: CheckpointTuple | None) -> list[str]:
    """What isn't the same in two checkpoints."""
    here, there_ = contents(found), contents(there) if there else {}
    return sorted(name for name in here.keys() | there_.keys() if here.get(name) != there_.get(name))


def contents(found: CheckpointTuple) -> dict[str, Any]:
    fields: dict[str, Any] = {**found.checkpoint}
    values = fields.pop("channel_values")
    return {
        "fields": fields,
        "metadata": found.metadata,
        "parent": found.parent_config,
        "pending writes": found.pending_writes,
        **{f"channel `{channel}`": compared(value) for channel, value in values.items()},
    }


def compared(value: Any) -> object:
    type_name, data = AsStored().dumps_typed(value)
    # A value that didn't change is encrypted anew for each checkpoint, and has other bytes then.
    return type_name if "+" in type_name else (type_name, data)


def copy(url: str, schema: str, langgraphs_url: str, progress: Callable[[Report], None]) -> Report:
    """Copies all threads of a schema to LangGraph's tables, and makes these if they aren't there."""
    with (
        PostgresSaver.from_conn_string(url, schema=schema, serde=AsStored()) as source,
        psycopg.connect(url, autocommit=True) as tables,
        psycopg.connect(langgraphs_url, autocommit=True, prepare_threshold=0, row_factory=dict_row) as langgraphs,
    ):
        target = LangGraphsSaver(langgraphs, serde=AsStored())
        target.setup()
        return WayBack(source, Tables(tables, schema), target).run(progress)


class EachSecond:
    """Prints how far it is."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 1

    def __call__(self, report: Report) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            print(f"{report.threads} of {report.of} threads, {report.copied} checkpoints copied", file=sys.stderr)


def main() -> int:
    url = os.environ["DATABASE_URL"]
    schema = os.environ.get("DB_SCHEMA", "checkpointer")
    langgraphs_url = os.environ.get("LANGGRAPH_DATABASE_URL", url)
    report = copy(url, schema, langgraphs_url, EachSecond())
    print(f"copied {report.copied} checkpoints of {report.threads} threads; there already: {report.present}")
    for loss in report.losses:
        print(loss)
    return 1 if report.losses else 0


if __name__ == "__main__":
    sys.exit(main())
