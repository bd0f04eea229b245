"""What a technician's laptop and a gateway say to each other on site: one request of JSON, one answer of JSON.

    laptop  -> gateway   POST /on-site of the gateway's own page, or a line on its serial console
    gateway -> laptop    Answer: what was asked for, or why not

Whoever asks signs in by the site code first and shows the token with each request. Nothing here takes long: a survey
of a line is begun, asked for and ended by requests of its own.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

PATH = "/on-site"
LINE_MOST = 1024 * 1024
"""Octets of a request: a signed bundle in base64. A larger one goes by a stick."""

Short = Annotated[str, Meta(max_length=200)]


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` comes back with the answer: on a serial line that of an earlier request may still be under way."""

    id: Short = ""


class SignIn(Marked, frozen=True, kw_only=True, tag_field="do", tag="sign-in"):
    """By the site code. ``name`` goes into the journal with what is done. The result has ``token``."""

    code: Short
    name: Short


class Look(Marked, frozen=True, kw_only=True, tag_field="do", tag="look"):
    """How the gateway stands: who it is, its way to the fleet, and its checklist (`wire.checklist`)."""

    token: Short


class Ports(Marked, frozen=True, kw_only=True, tag_field="do", tag="ports"):
    """The serial ports of the gateway, and who has them."""

    token: Short


class Scan(Marked, frozen=True, kw_only=True, tag_field="do", tag="scan"):
    """Begin to look who is on a line, as ``fengsui-edge scan`` does; empty words stand for the usual ones."""

    token: Short
    line: Short
    units: Short = ""
    baud: Short = ""
    parity: Short = ""


class Read(Marked, frozen=True, kw_only=True, tag_field="do", tag="read"):
    """Begin to read registers or a profile's values at a line that is not acquired, as ``fengsui-edge read`` does."""

    token: Short
    line: Short
    unit: Annotated[int, Meta(ge=0, le=255)] = 1
    profile: Short = ""
    function: Annotated[int, Meta(ge=1, le=4)] = 3
    address: Annotated[int, Meta(ge=0, le=65_535)] = 0
    count: Annotated[int, Meta(ge=1, le=125)] = 1


class Came(Marked, frozen=True, kw_only=True, tag_field="do", tag="came"):
    """What came of the survey or reading that was begun last; ``is_over`` in the result says whether it goes on."""

    token: Short


class End(Marked, frozen=True, kw_only=True, tag_field="do", tag="end"):
    """End the survey after the exchange under way."""

    token: Short


class Values(Marked, frozen=True, kw_only=True, tag_field="do", tag="values"):
    """The newest values of an instrument that is acquired."""

    token: Short
    device: Short


class Take(Marked, frozen=True, kw_only=True, tag_field="do", tag="take"):
    """Take a signed bundle: what this gateway is to be (`provisioning.kit`). It begins anew with it."""

    token: Short
    bundle: bytes


class TryOutput(Marked, frozen=True, kw_only=True, tag_field="do", tag="try-output"):
    """Switch an output on for some seconds, so that somebody sees or hears it."""

    token: Short
    output: Short
    lasts_s: Annotated[float, Meta(gt=0, le=30)] = 3.0


class Seen(Marked, frozen=True, kw_only=True, tag_field="do", tag="seen"):
    """Note in the journal whether a tested output was seen to act."""

    token: Short
    output: Short
    is_seen: bool


Request = SignIn | Look | Ports | Scan | Read | Came | End | Values | Take | TryOutput | Seen


class Answer(Marked, frozen=True, kw_only=True):
    """``result``, or ``error`` with a ``hint`` and its ``name``; ``wait_s`` is how long a code is not looked at.

    ``id`` is the request's, empty where none could be read.
    """

    result: dict[str, Any] = {}
    error: str = ""
    hint: str = ""
    name: str = ""
    wait_s: float = 0.0
