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
from edge.trial import Trial
from edge.twin import Outcome, Twin

WRITER = """
import sys
from pathlib import Path
from edge.trial import Trial
from edge.twin import Outcome, Twin
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


TRIES = """
import sys
from pathlib import Path
from edge.trial import ON
from edge.trial import Trial
from edge.twin import Outcome, Twin
twin = Twin(Path(sys.argv[1]))
print("good", twin.version if twin.trial is None else 0, flush=True)
while True:
    version = max(twin.version, twin.refused or 0) + 1
    twin.accept(version, {"bus": [{"name": "n" * 2000, "version": version}]}, well=("bus plc",))
    twin.count_starts(1)
    if version % 2:
        twin.go_back(None, "bus plc")
    else:
        twin.keep(None, ())
        print("good", version, flush=True)
"""


def test_returned_version_gives_way_to_the_last_good_one_and_is_not_news_again(tmp_path: Path) -> None:
    twin = Twin(tmp_path / "twin.json")
    twin.accept(3, {"bus": []}, 7)
    twin.keep(8, ("bus new",))
    twin.accept(4, {"bus": [{}]}, 9, ("bus plc",))
    twin.go_back(10, "bus plc is not well")
    again = Twin(tmp_path / "twin.json")
    assert (again.version, again.config, again.refused) == (3, {"bus": []}, 4)
    assert (again.reason, again.trial) == ("bus plc is not well", None)
    assert again.outcome == Outcome(trial="returned", version=4, since_ns=10)
    assert not again.is_news(4)
    assert again.is_news(5)


def test_version_that_follows_one_on_trial_returns_to_what_was_good_before_both(tmp_path: Path) -> None:
    twin = Twin(tmp_path / "twin.json")
    twin.accept(3, {"bus": []})
    twin.keep(None, ())
    twin.accept(4, {"bus": [{}]}, well=("bus plc",))
    twin.accept(5, {"bus": [{}, {}]}, well=())
    assert twin.trial == Trial(version=5, well=("bus plc",))
    twin.go_back(None, "bus plc")
    assert (twin.version, twin.config, twin.refused) == (3, {"bus": []}, 5)


def test_version_refused_in_a_trial_stays_refused_when_that_goes_back(tmp_path: Path) -> None:
    twin = Twin(tmp_path / "twin.json")
    twin.accept(3, {"bus": []})
    twin.refuse(4, "no such driver")
    twin.go_back(None, "bus plc")
    assert (twin.version, twin.config, twin.refused, twin.reason) == (0, None, 4, "no such driver")
    assert twin.outcome.version == 3


def test_kill_at_any_moment_of_a_trial_leaves_the_last_good_version_to_return_to(tmp_path: Path) -> None:
    path = tmp_path / "twin.json"
    source = random.Random(2)
    good = 0
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", TRIES, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [process.stdout.readline()]
        time.sleep(source.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().splitlines()
        process.stdout.close()
        process.wait()
        good = max([good, *(int(line.split()[1]) for line in said if line.strip())])
        twin = Twin(path)
        if twin.trial is not None:
            twin.go_back(None, "killed")
        assert twin.version >= good
        assert twin.config is None if not twin.version else twin.config["bus"][0]["version"] == twin.version
        twin.close()


def test_file_of_an_earlier_release_is_a_version_that_is_on_no_trial(tmp_path: Path) -> None:
    path = tmp_path / "twin.json"
    path.write_text('{"_default": {"1": {"version": 3, "config": {"bus": []}, "refused": 4, "reason": "no bus"}}}')
    twin = Twin(path)
    assert (twin.version, twin.refused, twin.trial, twin.outcome) == (3, 4, None, Outcome())
