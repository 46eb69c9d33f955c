"""What a saver holds, in a form in which two savers can be compared."""

from __future__ import annotations

from typing import Any


def contents(saver: Any, config: Any = None) -> list[dict[str, Any]]:
    """The checkpoints of a thread, or of all, by their age, with ids named by their order."""
    names: dict[str, str] = {}

    def named(value: str | None) -> str | None:
        return value if value is None else names.setdefault(value, f"id-{len(names)}")

    def id_of(config: Any) -> str | None:
        return config and named(config["configurable"]["checkpoint_id"])

    found = sorted(saver.list(config), key=lambda it: it.config["configurable"]["checkpoint_id"])
    return [
        {
            "ns": it.config["configurable"]["checkpoint_ns"].split(":")[0],
            "id": id_of(it.config),
            "parent": id_of(it.parent_config),
            "values": it.checkpoint["channel_values"],
            "channels": sorted(it.checkpoint["channel_versions"]),
            "source": it.metadata["source"],
            "step": it.metadata["step"],
            "writes": [
                (channel, repr(value).split("id='")[0]) for _, channel, value in it.pending_writes
            ],
        }
        for it in found
    ]


def lineage(saver: Any, config: Any) -> list[tuple[int, str, dict[str, Any]]]:
    """The head of a thread and all that it came from."""
    found, all = saver.get_tuple(config), []
    while found:
        metadata, values = found.metadata, found.checkpoint["channel_values"]
        all.append((metadata["step"], metadata["source"], values))
        found = found.parent_config and saver.get_tuple(found.parent_config)
    return all


def without_interrupts(result: dict[str, Any]) -> dict[str, Any]:
    """Interrupts have ids, which differ."""
    return {name: value for name, value in result.items() if name != "__interrupt__"}
