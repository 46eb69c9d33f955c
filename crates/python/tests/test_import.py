"""Threads of LangGraph's own saver: what becomes of them when they are imported."""

from __future__ import annotations

import pytest
from graphs import SCENARIOS
from moved import begin, go_on_alike, stored


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_thread_is_imported_to_the_byte_and_goes_on_as_with_langgraphs_saver(
    langgraphs, saver, imports, scenario
):
    begin(langgraphs.saver, scenario)
    assert imports(langgraphs)["losses"] == []
    expected = stored(langgraphs.saver)
    assert len(expected) > 2
    assert stored(saver) == expected
    go_on_alike(saver, langgraphs.saver, scenario)
