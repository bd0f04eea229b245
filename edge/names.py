"""What names and times in a configuration look like."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$(?!\n)"
OPTIONAL_NAME = r"^([A-Za-z0-9][A-Za-z0-9_-]*)?$(?!\n)"
Name = Annotated[str, Meta(pattern=NAME, max_length=64, examples=["gd-01"])]
Sibling = Annotated[str, Meta(pattern=NAME, max_length=64, examples=["temperature"])]
"""A tag of the same device, by its name there."""
TAG_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*\.[A-Za-z0-9][A-Za-z0-9_-]*$(?!\n)"
TagName = Annotated[str, Meta(pattern=TAG_NAME, examples=["gd-01.gas"])]
Seconds = Annotated[float, Meta(ge=0, le=86400)]
Hours = Annotated[float, Meta(ge=0, le=87_600)]
Period = Annotated[float, Meta(ge=0.01, le=86400)]
