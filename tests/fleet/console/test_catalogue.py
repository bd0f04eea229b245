from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fleet.console import catalogue


@pytest.mark.parametrize("language", catalogue.find_languages())
def test_catalogue_is_whole_and_compiled(language: str) -> None:
    assert catalogue.find_faults(language) == []


def test_messages_inside_templates_and_code_are_found() -> None:
    found = {
        message.id if isinstance(message.id, str) else message.id[0] for message in catalogue.extract() if message.id
    }
    assert {"Now", "no answer", "%(num)s gateway silent", "Sign in"} <= found


def test_missing_and_stale_messages_are_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(catalogue.TRANSLATIONS, tmp_path / "translations")
    monkeypatch.setattr(catalogue, "TRANSLATIONS", tmp_path / "translations")
    po = tmp_path / "translations/zh_Hans_CN/LC_MESSAGES/messages.po"
    po.write_text(po.read_text("utf-8").replace('msgid "Now"', 'msgid "Soon"'), "utf-8")
    faults = " ".join(catalogue.find_faults("zh_Hans_CN"))
    assert "missing: ('Now', None)" in faults
    assert "not used any more: ('Soon', None)" in faults
    assert "messages.mo is older" in faults
