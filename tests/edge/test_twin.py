"""The twin's file: what a kill or a damaged file leaves behind."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.errors import DocumentError
from edge.twin import Twin

WRITER = """
import sys
from pathlib import Path
from edge.twin import Twin
twin = Twin(Path(sys.argv[1]))
version = twin.version
while True:
    version += 1
    twin.accept(version, {"bus": [{"name": "n" * 2000, "version": version}]})
    print(version, flush=True)
"""


def test_accepted_version_is_there_after_reopening(tmp_path: Path) -> None:
    twin = Twin(tmp_path / "twin.json")
    assert (twin.version, twin.config) == (0, None)
    twin.accept(3, {"bus": []})
    twin.close()
    again = Twin(tmp_path / "twin.json")
    assert (again.version, again.config, again.refused) == (3, {"bus": []}, None)


def test_refusal_keeps_what_runs_and_is_not_news_again(tmp_path: Path) -> None:
    twin = Twin(tmp_path / "twin.json")
    twin.accept(3, {"bus": []})
    twin.refuse(4, "no bus")
    again = Twin(tmp_path / "twin.json")
    assert (again.version, again.refused, again.reason) == (3, 4, "no bus")
    assert not again.is_news(4)
    assert again.is_news(5)


def test_kill_at_any_moment_leaves_a_whole_file_with_at_least_what_was_accepted(tmp_path: Path) -> None:
    path = tmp_path / "twin.json"
    source = random.Random(1)
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [process.stdout.readline()]
        time.sleep(source.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().splitlines()
        process.stdout.close()
        process.wait()
        accepted = max(int(line) for line in said if line.strip())
        twin = Twin(path)
        assert twin.version >= accepted
        assert twin.config is not None
        assert twin.config["bus"][0]["version"] == twin.version
        twin.close()


DAMAGE = {
    "half a document": b"{half a docu",
    "empty": b"",
    "no UTF-8": b'{"_default": "\xff\xfe"}',
    "too deep": b"[" * 100_000,
    "a list": b"[]",
    "a word": b'"twin"',
    "a table that is none": b'{"_default": 5}',
    "a state that is none": b'{"_default": {"1": "x"}}',
    "a version that is none": b'{"_default": {"1": {"version": "three"}}}',
    "a configuration that is none": b'{"_default": {"1": {"version": 3, "config": []}}}',
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_named_with_what_to_do_and_left_as_it_is(content, tmp_path: Path) -> None:
    path = tmp_path / "twin.json"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"twin\.json") as caught:
        Twin(path)
    assert "move the file away" in caught.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"null", b"{}", b'{"_default": {}}', b'{"_default": {"1": {"version": 0}}}'])
def test_file_without_a_version_is_a_gateway_that_runs_its_seed(content, tmp_path: Path) -> None:
    path = tmp_path / "twin.json"
    path.write_bytes(content)
    twin = Twin(path)
    assert (twin.version, twin.config, twin.refused, twin.reason) == (0, None, None, "")


def test_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "twin.json").mkdir()
    with pytest.raises(DocumentError, match=r"twin\.json cannot be read"):
        Twin(tmp_path / "twin.json")


def test_draft_of_a_version_that_a_kill_left_behind_does_no_harm(tmp_path: Path) -> None:
    twin = Twin(tmp_path / "twin.json")
    twin.accept(1, {"bus": []})
    (tmp_path / "twin.json.new").write_text('{"_default": {"1": {"vers')
    again = Twin(tmp_path / "twin.json")
    assert again.version == 1
    again.accept(2, {"bus": []})
    assert Twin(tmp_path / "twin.json").version == 2


def test_full_disk_keeps_the_old_version(tmp_path: Path, monkeypatch) -> None:
    twin = Twin(tmp_path / "twin.json")
    twin.accept(1, {"bus": []})

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("provisioning.document.os.replace", refuse)
    with pytest.raises(DocumentError, match="No space left"):
        twin.accept(2, {"bus": []})
    assert twin.version == 1
    assert json.loads((tmp_path / "twin.json").read_text())["_default"]["1"]["version"] == 1
