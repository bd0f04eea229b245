"""The commissioning report of a gateway, as text: what the book has of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from provisioning.kit.book import Line
from provisioning.kit.texts import Texts

NS = 1_000_000_000
HIDDEN = frozenset({"claim_sha256"})


def make_report(texts: Texts, gateway: str, lines: Sequence[Line]) -> str:
    """Write the report: each line with its time, who, and what came of it."""
    written = [texts("report-title"), gateway, ""]
    for line in lines:
        at = datetime.fromtimestamp(line.at_ns // NS).astimezone().isoformat(" ", "seconds")
        written.append(f"{at}  {texts.find(f'kind-{line.kind}', line.kind)}  {line.by}")
        written += _show(line.detail, 1)
    return "\n".join([*written, "", texts("report-signed"), ""])


def _show(node: Any, depth: int) -> list[str]:
    margin = "    " * depth
    if isinstance(node, dict):
        shown: list[str] = []
        for key, value in node.items():
            if key in HIDDEN:
                continue
            shown += [f"{margin}{key}: {value}"] if _is_plain(value) else [f"{margin}{key}:", *_show(value, depth + 1)]
        return shown
    if isinstance(node, list):
        return [line for each in node for line in ([f"{margin}{each}"] if _is_plain(each) else _show(each, depth))]
    return [f"{margin}{node}"]


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list)
