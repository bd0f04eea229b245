"""The console: server-rendered pages for people, Chinese and English, current without a reload."""

from fleet.console.application import register

__all__ = ["register"]
