"""What each formula of a derived tag takes, and whether an entry gives it that. `edge.derive` computes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from edge.settings import DerivedEntry, Formula

GUST_S = 3.0
"""A gust is a mean over this time (WMO-No. 8, volume I, chapter 5)."""
GUST_POLL_MOST_S = 1.0
"""So it needs readings at least this often."""


class Signature(msgspec.Struct, frozen=True):
    """What goes into a formula: what its tags are, in order, and whether it looks back over a window."""

    takes: tuple[str, ...]
    has_window: bool = True


SIGNATURES: Mapping[Formula, Signature] = {
    "dew_point": Signature(("air temperature", "relative humidity"), has_window=False),
    "mean": Signature(("any number",)),
    "gust": Signature(("wind speed",)),
    "vector_speed": Signature(("wind speed", "wind direction")),
    "vector_direction": Signature(("wind speed", "wind direction")),
    "rain_sum": Signature(("rain",)),
}


class Misfit(msgspec.Struct, frozen=True):
    """A key of an entry that does not fit its formula."""

    key: str
    message: str
    hint: str


def find_misfits(entry: DerivedEntry) -> Iterator[Misfit]:
    """Tell what of an entry does not fit its formula, apart from its tags themselves."""
    signature = SIGNATURES[entry.formula]
    if len(entry.of) != len(signature.takes):
        takes = " and ".join(signature.takes)
        yield Misfit("of", f"{entry.formula} takes {takes}, but 'of' names {len(entry.of)} tags", f"name: {takes}")
    if signature.has_window and entry.window_s is None:
        yield Misfit("window_s", f"{entry.formula} looks back: 'window_s' is missing", "add: window_s = 600")
    if not signature.has_window and entry.window_s is not None:
        yield Misfit("window_s", f"{entry.formula} does not look back", "remove: window_s")
    if entry.formula == "gust" and entry.window_s is not None and entry.window_s < GUST_S:
        yield Misfit("window_s", f"a gust is a mean over {GUST_S:g} s", "write: window_s = 600")
    if entry.formula == "rain_sum" and entry.kind is None:
        yield Misfit("kind", "'kind' is missing: is the tag a total or an amount?", 'add: kind = "counter" or "amount"')
    if entry.formula != "rain_sum" and entry.kind is not None:
        yield Misfit("kind", f"{entry.formula} has no kind", "remove: kind")
    if entry.wrap is not None and entry.kind != "counter":
        yield Misfit("wrap", "only a counter begins again at 0", 'remove: wrap, or write: kind = "counter"')
