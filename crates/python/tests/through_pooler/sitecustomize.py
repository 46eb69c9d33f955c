"""Has each saver of a program say that it is behind a pooler.

`cargo xtask conformance --pgbouncer` puts this folder on Python's path, so that the programs that tests start do so
as well.
"""

from langgraph.checkpoint.jsonb import _options

client = _options.client


def behind_a_pooler(conninfo, options):
    return client(conninfo, {**options, "pool_mode": "transaction"})


_options.client = behind_a_pooler
