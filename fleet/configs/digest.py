"""What tells two configurations apart without comparing them. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(config: dict[str, Any]) -> str:
    """Return the SHA-256 of a configuration, in hex: the same whatever its order, and for 1 and 1.0."""
    text = json.dumps(_plain(config), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node
