"""Threads that go back to LangGraph's own saver, by the program `examples/to_langgraph.py`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import to_langgraph
from compared import contents
from graphs import SCENARIOS, approval, asking_thrice
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.jsonb import PostgresSaver
from langgraph.checkpoint.postgres import PostgresSaver as LangGraphsSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.types import Command, Send
from moved import CONFIG, begin, go_on_alike, stored

PROGRAM = to_langgraph.__file__
RECORDED = Path(__file__).parents[3] / "tests/fixtures/langgraph/tables.sql"


@pytest.fixture
def copied(server, schema, saver, langgraphs):
    """Copies all threads of the saver to LangGraph's tables, and returns the report."""

    def copied(to=langgraphs, progress=lambda report: None):
        return to_langgraph.copy(server, schema, to.url, progress)

    return copied


def task_paths(url, table):
    """The paths of tasks, with thread, namespace, checkpoint, task and channel before them."""
    columns = "thread_id, checkpoint_ns, checkpoint_id, task_id, channel, task_path"
    with psycopg.connect(url) as connection:
        return set(connection.execute(f"SELECT {columns} FROM {table}".encode()))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_thread_goes_back_to_the_byte_and_goes_on_with_langgraphs_saver(
    server, schema, saver, langgraphs, copied, scenario
):
    begin(saver, scenario)
    report = copied()
    expected = stored(saver)
    assert (report.losses, report.present, report.copied) == ([], 0, len(expected))
    assert stored(langgraphs.saver) == expected
    paths = task_paths(langgraphs.url, "checkpoint_writes")
    assert paths == task_paths(server, f"{schema}.pending_writes")
    go_on_alike(langgraphs.saver, saver, scenario)


def test_tables_of_an_import_get_what_was_stored_since(saver, langgraphs, imports, copied):
    begin(langgraphs.saver, "approval")
    imports(langgraphs)
    approval(saver).invoke(Command(resume="Dear Ada"), CONFIG)
    before, expected = stored(langgraphs.saver), stored(saver)
    report = copied()
    assert (report.losses, report.present) == ([], len(before))
    assert stored(langgraphs.saver) == expected
    given = {"text": "Dear customer"}
    results = [approval(it).invoke(given, CONFIG)["log"] for it in (langgraphs.saver, saver)]
    assert results[0] == results[1]


def test_a_thread_that_was_pruned_since_the_import_goes_back(saver, langgraphs, imports, copied):
    begin(langgraphs.saver, "approval")
    imports(langgraphs)
    approval(saver).invoke(Command(resume="Dear Ada"), CONFIG)
    saver.prune([CONFIG["configurable"]["thread_id"]])
    before, kept = stored(langgraphs.saver), stored(saver)
    # None of those that were imported is here.
    assert kept.keys().isdisjoint(before)
    report = copied()
    assert (report.losses, report.present, report.copied) == ([], 0, len(kept))
    assert stored(langgraphs.saver) == {**before, **kept}


def test_an_answer_that_was_given_since_the_import_goes_back(saver, langgraphs, imports, copied):
    def answer(saver, number):
        return asking_thrice(saver).invoke(Command(resume=str(number)), CONFIG)

    asking_thrice(langgraphs.saver).invoke({"log": []}, CONFIG)
    answer(langgraphs.saver, 0)
    imports(langgraphs)
    # There is no checkpoint that is new: the answers of the task are replaced.
    answer(saver, 1)
    report = copied()
    assert (report.losses, report.copied) == ([], 0)
    assert stored(langgraphs.saver) == stored(saver)
    assert answer(langgraphs.saver, 2) == answer(saver, 2) == {"log": ["012"]}


def test_what_was_recorded_comes_back_as_it_was(
    server, schema, langgraphs, other_langgraphs, imports, copied
):
    recorded = RECORDED.read_text().replace("{schema}", langgraphs.schema)
    with psycopg.connect(langgraphs.url) as connection:
        connection.execute("TRUNCATE checkpoint_migrations")
        connection.execute(recorded.encode())
    imports(langgraphs)
    report = copied(other_langgraphs)
    # No graph puts such a value: it has no version, by which LangGraph's saver finds it.
    lost = "channel `without a version`"
    by_hand = [("by hand", "", number) for number in ["1", "10", "2"]]
    assert report.losses == [f"by hand {number}: differs: {lost}" for _, _, number in by_hand]

    before, after = (
        stored(LangGraphsSaver(it.saver.conn, serde=to_langgraph.AsStored()))
        for it in (langgraphs, other_langgraphs)
    )
    # The import says that these threads aren't imported, for their ids.
    before = {address: it for address, it in before.items() if 0 < len(address[0]) <= 512}
    for address in by_hand:
        del before[address]["values"]["without a version"]
    assert after == before
    # One is of a checkpoint that wasn't stored.
    here = {it for it in task_paths(server, f"{schema}.pending_writes") if it[:3] in after}
    assert task_paths(other_langgraphs.url, "checkpoint_writes") == here


def test_outputs_whose_places_the_import_has_changed_are_not_stored_twice(
    saver, langgraphs, imports, copied
):
    config = {"configurable": {"thread_id": "thread-1", "checkpoint_ns": ""}}
    config = langgraphs.saver.put(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
    # LangGraph's saver counts the answer along: the outputs have the places 1 and 2.
    writes = [("__resume__", ["yes"]), ("items", 1), ("items", 2)]
    langgraphs.saver.put_writes(config, writes, "task-1")
    imports(langgraphs)
    saver.put_writes(config, [("items", 3)], "task-2")
    assert copied().losses == []
    assert stored(langgraphs.saver) == stored(saver)
    [found] = langgraphs.saver.list(config)
    assert [value for _, _, value in found.pending_writes] == [["yes"], 1, 2, 3]


def sent_before_format_4(saver):
    """A checkpoint whose parent has what tasks have sent to others."""
    parent, child = ({**empty_checkpoint(), "v": 3} for _ in range(2))
    child["channel_values"] = {"items": [1]}
    child["channel_versions"] = {"items": "1"}
    config = {"configurable": {"thread_id": "thread-1", "checkpoint_ns": ""}}
    config = saver.put(config, parent, {"source": "input", "step": -1}, {})
    sends = [Send("work", {"item": number}) for number in range(2)]
    saver.put_writes(config, [("__pregel_tasks", send) for send in sends], "task", "path")
    config = saver.put(config, child, {"source": "loop", "step": 0}, {"items": "1"})
    return config, {"items": [1], "__pregel_tasks": sends}


def test_what_tasks_have_sent_before_format_4_goes_back(saver, langgraphs, copied):
    config, values = sent_before_format_4(saver)
    for copies in [2, 0]:
        report = copied()
        assert (report.losses, report.copied) == ([], copies)
        assert langgraphs.saver.get_tuple(config).checkpoint["channel_values"] == values
        assert stored(langgraphs.saver) == stored(saver)


def test_what_is_encrypted_goes_back_without_the_key(url, schema, langgraphs, copied):
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef")
    with PostgresSaver.from_conn_string(url, schema=schema, serde=serde) as saver:
        begin(saver, "fan")
        assert copied().losses == []
        there = LangGraphsSaver(langgraphs.saver.conn, serde=serde)
        assert contents(there) == contents(saver) != []


def test_what_tasks_have_sent_encrypted_before_format_4_goes_back_without_the_key(
    url, schema, saver, langgraphs, copied
):
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef")
    with PostgresSaver.from_conn_string(url, schema=schema, serde=serde) as encrypted:
        config, values = sent_before_format_4(encrypted)
    there = LangGraphsSaver(langgraphs.saver.conn, serde=serde)
    for copies in [2, 0]:
        report = copied()
        assert (report.losses, report.copied) == ([], copies)
        assert there.get_tuple(config).checkpoint["channel_values"] == values


class Stopped(Exception):
    pass


def test_a_copy_that_was_stopped_goes_on_where_it_was(saver, langgraphs, copied):
    def stop(report):
        if report.copied == 4:
            raise Stopped

    begin(saver, "chat")
    expected = stored(saver)
    with pytest.raises(Stopped):
        copied(progress=stop)
    assert len(stored(langgraphs.saver)) == 4
    for present in [4, len(expected)]:
        report = copied()
        assert (report.losses, report.present) == ([], present)
        assert stored(langgraphs.saver) == expected


def test_a_thread_that_has_gone_on_with_langgraphs_saver_is_left_as_it_is(
    saver, langgraphs, copied
):
    begin(saver, "approval")
    copied()
    approval(langgraphs.saver).invoke(Command(resume="Dear Ada"), CONFIG)
    expected = stored(langgraphs.saver)
    report = copied()
    assert report.losses == [
        "thread-1: left as it is: LangGraph's tables have a newer checkpoint"
    ]
    assert stored(langgraphs.saver) == expected


def test_the_program_says_what_langgraphs_tables_cannot_hold(server, schema, saver, langgraphs):
    def put(thread_id, value, note=""):
        checkpoint = {**empty_checkpoint(), "channel_values": {"items": value}}
        checkpoint["channel_versions"] = {"items": "1"}
        config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        metadata = {"source": "loop", "step": 1, "notes": [note]}
        saver.put(config, checkpoint, metadata, {"items": "1"})
        return checkpoint["id"]

    forks = [put("forks", [number]) for number in range(2)]
    with_nul = put("nul", [1], "\0")
    environment = {
        **os.environ,
        "DATABASE_URL": server,
        "DB_SCHEMA": schema,
        "LANGGRAPH_DATABASE_URL": langgraphs.url,
    }
    ran = subprocess.run([sys.executable, PROGRAM], env=environment, capture_output=True, text=True)
    assert ran.stdout.splitlines() == [
        "copied 2 checkpoints of 2 threads; there already: 0",
        f"forks {forks[1]}: differs: channel `items`",
        f"nul {with_nul}: not stored: unsupported Unicode escape sequence",
    ]
    assert ran.returncode == 1
    # It says each second how far it is, which a slow machine lets it do.
    assert re.fullmatch(r"([0-2] of 2 threads, [0-2] checkpoints copied\n)*", ran.stderr)
