"""The rules' file: what may stand in it, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.errors import SetupError
from fleet.notifications.rules import read

GOOD = """
[mail]
host = "mail.example"
sender = "alarm@yufu.example"

[[contact]]
name = "duty"
kind = "email"
address = "duty@yufu.example"

[[contact]]
name = "hook"
kind = "webhook"
url = "https://host.example/alarms"
secret_file = "hook.secret"

[[rule]]
priorities = [1, 2]
contacts = ["duty"]
escalate = [{ after_min = 5, contacts = ["hook"] }]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "hook.secret").write_text("key\n")
    return tmp_path / "notify.toml"


def test_good_rules(path: Path) -> None:
    path.write_text(GOOD)
    rules = read(path)
    assert [contact.name for contact in rules.contacts] == ["duty", "hook"]
    assert rules.rules[0].escalate[0].contacts == ("hook",)
    assert rules.secret("hook.secret") == "key"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'contacts = ["duty"]',
            'contacts = ["dutty"]',
            "[[rule]] 1: there is no contact 'dutty': use one of: duty, hook",
        ),
        ('contacts = ["hook"]', 'contacts = ["x"]', "there is no contact 'x'"),
        ("priorities = [1, 2]", "priorities = [5]", "[[rule]] 1: Expected `int` <= 4"),
        ('name = "hook"', 'name = "duty"', "[[contact]] 2 'duty': the name is taken"),
        ('kind = "webhook"', 'kind = "fax"', "[[contact]] 2: Invalid enum value 'fax'"),
        ("https://host.example/alarms", "ftp://host.example/", "'ftp://host.example/' is not a URL to post to"),
        ("https://host.example/alarms", "http://host:x/", "'http://host:x/' is not a URL to post to"),
        ('address = "duty@yufu.example"', "", "[[contact]] 1 'duty': 'address' is missing"),
        ('address = "duty@yufu.example"', 'address = "a, b@c"', "[[contact]] 1"),
        ("hook.secret", "none.secret", "secret_file: cannot read 'none.secret'"),
        ("[mail]", "[post]", "unknown table 'post'"),
        ("after_min = 5", "after_s = 5", "[[rule]] 1: Object"),
        ('kind = "webhook"', 'kind = "cap"', "'sender' is missing"),
    ],
)
def test_a_mistake_tells_its_place(path: Path, old: str, new: str, said: str) -> None:
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(SetupError) as caught:
        read(path)
    assert said in str(caught.value)
    assert caught.value.hint


def test_every_mistake_is_told_at_once(path: Path) -> None:
    path.write_text(GOOD.replace('"email"', '"fax"').replace("[1, 2]", "[9]"))
    with pytest.raises(SetupError) as caught:
        read(path)
    assert "[[contact]] 1" in str(caught.value)
    assert "[[rule]] 1" in str(caught.value)


def test_an_empty_secret_is_a_mistake_and_never_an_unsigned_request(path: Path) -> None:
    path.write_text(GOOD)
    (path.parent / "hook.secret").write_text("\n")
    with pytest.raises(SetupError, match="is empty"):
        read(path)


@pytest.mark.parametrize("text", [None, "[[contact]", "contact = 1\n"])
def test_a_file_that_cannot_be_read(path: Path, text: str | None) -> None:
    if text is not None:
        path.write_text(text)
    with pytest.raises(SetupError) as caught:
        read(path)
    assert str(path) in str(caught.value)
