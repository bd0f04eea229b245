"""Small documents of the gateway that outlive a power cut: the twin, and the commands that were taken."""

from __future__ import annotations

from edge.errors import DocumentError
from provisioning import document

MOVE_AWAY = "move the file away: the gateway then starts as if it had never had one"


class AtomicStorage(document.AtomicStorage):
    """The atomic storage, whose errors are the agent's."""

    error = DocumentError
    move_away = MOVE_AWAY
