"""The saver for programs that await, under the name that LangGraph's package has for its module."""

from langgraph.checkpoint.jsonb._saver import AsyncPostgresSaver

__all__ = ["AsyncPostgresSaver"]
