"""From what a configuration declares to what finds frames and fills groups. Checked beforehand."""

from __future__ import annotations

from drivers.base import Group
from drivers.errors import SettingsError
from drivers.framing.binary import binary_layout
from drivers.framing.model import Field, Framed
from drivers.framing.reading import Layout, Reading
from drivers.framing.text import text_layout


def prepare(device: Framed) -> Layout:
    """Check the declaration of frames. Raises SettingsError."""
    if device.text is not None and device.binary is None:
        return text_layout(device.text)
    if device.binary is not None and device.text is None:
        return binary_layout(device.binary)
    raise SettingsError("the device declares no frames, or two kinds of them", hint="give it either text or binary")


def prepare_group(group: Group, layout: Layout) -> Reading:
    """Check where the tags of a group lie. Raises SettingsError."""
    if not group.tags:
        raise SettingsError(f"group {group.name} has no tags", hint="a group lists the tags of one kind of frame")
    takes = []
    for tag, source in zip(group.tags, group.sources, strict=True):
        if not isinstance(source, Field):
            raise SettingsError(f"{tag}: not a field of a declared frame")
        takes.append(layout.take(tag, source))
    return Reading(group.name, tuple(takes))
