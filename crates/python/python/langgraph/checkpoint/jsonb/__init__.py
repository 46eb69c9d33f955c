"""Checkpoint savers for LangGraph in PostgreSQL, on JSONB.

`PostgresSaver` and `AsyncPostgresSaver` take the place of those in `langgraph.checkpoint.postgres`:

```python
from langgraph.checkpoint.jsonb import PostgresSaver

with PostgresSaver.from_conn_string("postgres://agents@localhost/agents") as saver:
    saver.setup()
    graph = builder.compile(checkpointer=saver)
```
"""

from langgraph.checkpoint.jsonb._saver import AsyncPostgresSaver, PostgresSaver
from langgraph.checkpoint.jsonb.errors import CheckpointerError

__all__ = ["AsyncPostgresSaver", "CheckpointerError", "PostgresSaver"]
