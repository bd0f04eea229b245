"""The boot settings of the gateway's own page."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edge.listening import read_listen


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """[local]: the gateway's own page. Files are relative to the configuration file."""

    listen: Annotated[str, Meta(description="host:port of the gateway's own page; no page if empty")] = ""
    code_file: Annotated[
        str, Meta(description="file of the site code that opens the page, written by `fengsui-edge local-code`")
    ] = ""
    cert_file: Annotated[str, Meta(description="certificate in PEM, to serve the page by https; by http if empty")] = ""
    key_file: Annotated[str, Meta(description="key of the certificate, in PEM")] = ""

    def __post_init__(self) -> None:
        read_listen(self.listen)
        if self.listen and not self.code_file:
            raise ValueError("code_file is missing: make one with fengsui-edge local-code FILE, and name it here")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together: give both, or leave both out")

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port, or None."""
        return read_listen(self.listen)
