"""The release that runs."""

from __future__ import annotations

from importlib import metadata

RELEASE = metadata.version("fengsui")
