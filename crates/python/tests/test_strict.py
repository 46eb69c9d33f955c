"""LangGraph's strict mode, in which the classes that are read back have to be allowed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.usefixtures("saver")
def test_strict_mode_and_allowlists_are_those_of_langgraphs_saver(url, schema, langgraphs):
    program = [sys.executable, Path(__file__).parent / "strict.py", url, schema, langgraphs.url]
    strict = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"}
    ended = subprocess.run(program, env=strict, stdout=subprocess.PIPE, text=True, check=True)
    seen = json.loads(ended.stdout)
    assert seen["this"] == seen["langgraphs"] == seen["memory"]
    order, as_dict = "Order(number=7, lines=['a'], v='v')", {"number": 7, "lines": ["a"], "v": "v"}
    answer = "Order(number=8, lines=[], v='')"
    assert seen["this"] == {
        "without": read(as_dict),
        "with": read(order),
        "asked": order,
        "resumed": {"order": order, "orders": [order, answer], "anything": "red"},
    }


def read(order):
    """What a saver reads of an order, a list with it, and an enum, as values and as writes."""
    return [order, [order], "red", order, "red"]
