"""HTML as a tree of calls: whatever is not `Markup` already is escaped, so that no name can become a script."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"br", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]
Attribute = str | int | float | bool | None


def tag(element: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """Make an element. ``class_`` stands for class, ``data_x`` for data-x; True is a bare attribute, None is none."""
    opened = f"<{element}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(opened if element in VOID else f"{opened}{join(children)}</{element}>")


def join(child: Child) -> Markup:
    """Put children one after the other; None is nothing."""
    match child:
        case Markup():
            return child
        case None:
            return Markup()
        case str() | int() | float():
            return Markup(escape(str(child)))
        case _:
            return Markup("".join(join(one) for one in child))


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
