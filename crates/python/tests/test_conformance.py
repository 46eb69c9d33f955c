"""LangGraph's conformance suite."""

from __future__ import annotations

from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.jsonb import AsyncPostgresSaver


def test_every_capability_passes_langgraphs_conformance_suite(url, schema, run, capsys):
    @checkpointer_test(name="langgraph-checkpoint-jsonb")
    async def saver():
        async with AsyncPostgresSaver.from_conn_string(url, schema=schema) as saver:
            await saver.setup()
            yield saver

    report = run(validate(saver))
    with capsys.disabled():
        report.print_report()
    # `passed_all` passes over a capability that the suite doesn't find.
    passed = [name for name, result in report.results.items() if result.passed]
    assert passed == [*report.results] and len(passed) == 8
