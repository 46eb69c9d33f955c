"""Lists of checkpoints: what they hold between two items."""

from __future__ import annotations

import multiprocessing

import pytest
from calls import config_of, put
from langgraph.checkpoint.jsonb import AsyncPostgresSaver, CheckpointerError, PostgresSaver

# Fewer than a page of the crate's, which then counts the matches and looks for more of them.
FEW = 5


@pytest.fixture
def narrow(url, schema):
    """A saver of one connection, and some checkpoints."""
    with PostgresSaver.from_conn_string(url, schema=schema, pool_max=1) as saver:
        saver.setup()
        for number in range(FEW):
            put(saver, f"thread-{number}", n=number)
        yield saver


def test_calls_inside_a_list_with_a_filter_need_no_second_connection(narrow):
    listed = 0
    for found in narrow.list(None, filter={"source": "loop"}):
        assert narrow.get_tuple(found.config) == found
        listed += 1
    assert listed == FEW


def test_awaited_calls_inside_a_list_with_a_filter_need_no_second_connection(url, schema, narrow, run):
    async def listed():
        saver = AsyncPostgresSaver.from_conn_string(url, schema=schema, pool_max=1)
        async with saver as saver:
            listed = saver.alist(None, filter={"source": "loop"})
            return [await saver.aget_tuple(found.config) == found async for found in listed]

    assert run(listed()) == [True] * FEW


def test_a_saver_is_closed_while_a_list_is_left_in_the_middle(narrow):
    listed = narrow.list(None, filter={"source": "loop"})
    assert next(listed).checkpoint["channel_values"] == {"n": FEW - 1}
    narrow.close()
    listed.close()


def test_a_child_that_is_forked_is_told_that_a_list_is_its_parents(narrow):
    def go_on():
        with pytest.raises(CheckpointerError, match="fork") as raised:
            list(listed)
        assert raised.value.kind == "invalid"
        assert len(list(narrow.list(None))) == FEW

    listed = narrow.list(None)
    next(listed)
    child = multiprocessing.get_context("fork").Process(target=go_on)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert len(list(listed)) == FEW - 1


def test_a_list_may_be_left_in_the_middle_and_calls_be_made_inside_of_it(saver):
    for number in range(100):
        put(saver, "thread", n=number)
    for found in saver.list(config_of("thread")):
        assert saver.get_tuple(found.config) == found
        break
    assert len(list(saver.list(config_of("thread"), limit=70))) == 70


def test_checkpoints_that_were_read_together_are_handed_over_together(saver):
    for number in range(40):
        put(saver, "thread", n=number)
    listing = saver._native.list(None, None, None, None, None, None)
    assert [len(listing.next(None)) for _ in range(3)] == [32, 8, 0]
