"""Photos from the site: JPEG, bounded, and without what a camera writes of place, time and person into them. Pure."""

from __future__ import annotations

from fleet.errors import InvalidError

PHOTO_MOST_OCTETS = 2 * 1024 * 1024
"""A browser with our script sends about 150 KiB."""
BEGIN, SCAN, MARK = b"\xff\xd8", 0xDA, 0xFF
SPOKEN = frozenset({*range(0xE1, 0xF0), 0xFE})
"""Segments that only tell of the picture: APP1 (Exif, XMP) to APP15, and comments. ITU-T T.81, table B.1."""
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Marks without a length."""
FRAMES = frozenset({0xC0, 0xC1, 0xC2})
"""Begin a picture that is drawn: its kinds baseline, extended and progressive."""
SIDE_MOST = 10_000
"""Picture points each way: few octets may say that they are a picture that no memory holds."""
HINT = "send a photo in JPEG, or leave it out"


def strip(photo: bytes) -> bytes:
    """Return a JPEG without the segments that tell of it. Raises InvalidError for what is no JPEG, or too large.

    Its sides are looked at, too: who draws the report has to hold the whole picture.
    """
    if len(photo) > PHOTO_MOST_OCTETS:
        raise InvalidError(f"the photo has more than {PHOTO_MOST_OCTETS // 1024} KiB", hint="take it smaller")
    if not photo.startswith(BEGIN):
        raise InvalidError("the photo is no JPEG", hint=HINT)
    kept, at = [BEGIN], len(BEGIN)
    while at + 4 <= len(photo) and photo[at] == MARK:
        kind = photo[at + 1]
        if kind == SCAN:
            return b"".join([*kept, photo[at:]])
        end = at + 2 if kind in ALONE else at + 2 + int.from_bytes(photo[at + 2 : at + 4], "big")
        if kind in FRAMES:
            _check_sides(photo[at:end])
        if kind not in SPOKEN:
            kept.append(photo[at:end])
        at = max(end, at + 2)
    raise InvalidError("the photo is no whole JPEG", hint=HINT)


def _check_sides(frame: bytes) -> None:
    """Check height and width as a frame's header says them (ITU-T T.81, B.2.2). Raises InvalidError."""
    height, width = int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big")
    if not (0 < height <= SIDE_MOST and 0 < width <= SIDE_MOST):
        raise InvalidError(f"the photo has {width} x {height} points", hint=f"1 to {SIDE_MOST} each way")
