"""The rules of notification: a TOML file that the setting `notify_rules` names. Who there is, and who is told of what.

[mail]        the server that e-mails go out by
[[contact]]   somebody, or a program, that can be told
[[rule]]      which alarms call which contacts, and who is called next
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from fleet.errors import SetupError

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,63}\Z")]
Address = Annotated[str, Meta(pattern=r"^([^@\s,<>]+@[^@\s,<>]+)?\Z")]
Sender = Annotated[str, Meta(pattern=r"^[^\s,<&]*\Z")]
Minutes = Annotated[float, Meta(gt=0, le=7 * 1440)]
S = TypeVar("S", bound=msgspec.Struct)


class Mail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mail server. ``security``: ``starttls`` (port 587), ``tls`` from the first octet (465), or ``none``."""

    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Address
    user: str = ""
    password_file: str = ""


class Contact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told. ``url`` is for webhook and cap, ``address`` for email.

    ``secret_file`` holds the key that requests are signed with. ``pause_s`` is the least time between two messages;
    what comes up meanwhile goes out together. A cap contact is sent each alarm by itself, so it has no pause.
    ``sender`` and ``status`` are those of CAP.
    """

    name: Name
    kind: Literal["webhook", "email", "cap"]
    url: str = ""
    address: Address = ""
    secret_file: str = ""
    language: Literal["zh", "en"] = "zh"
    pause_s: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    sender: Sender = ""
    status: Literal["Actual", "Exercise", "Test"] = "Actual"


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told too when nobody has acknowledged for ``after_min`` minutes."""

    after_min: Minutes
    contacts: Annotated[tuple[Name, ...], Meta(min_length=1)]


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alarms call whom. An empty filter lets every alarm through.

    ``intensity_from``: only earthquakes through whose intensity (GB/T 17742-2020) is that or more; 0 for any alarm.
    ``after_s``: the first are told when the alarm stood unacknowledged for so long; 0 at once. ``again_min``: all who
    were told are told again each time so many minutes went by unacknowledged; 0 never. ``on_return``: those who were
    told also learn that it returned to normal.
    """

    contacts: Annotated[tuple[Name, ...], Meta(min_length=1)]
    priorities: tuple[Annotated[int, Meta(ge=1, le=4)], ...] = ()
    gateways: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    sectors: tuple[str, ...] = ()
    intensity_from: Annotated[float, Meta(ge=0, le=12)] = 0.0
    after_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    again_min: Annotated[float, Meta(ge=0, le=7 * 1440)] = 0.0
    on_return: bool = False
    escalate: tuple[Step, ...] = ()


class Rules(msgspec.Struct, frozen=True):
    """What the file says. ``folder`` is where its own file names begin."""

    folder: Path = Path()
    mail: Mail | None = None
    contacts: tuple[Contact, ...] = ()
    rules: tuple[Rule, ...] = ()

    def find(self, name: str) -> Contact | None:
        """Return the contact of a name."""
        return next((contact for contact in self.contacts if contact.name == name), None)

    def secret(self, file: str) -> str:
        """Return the first line of a secret's file, "" for no file. Raises OSError, or ValueError for one without."""
        if not file:
            return ""
        line = (self.folder / file).read_text("utf-8").split("\n", 1)[0].strip()
        if not line:
            raise ValueError(f"{self.folder / file} is empty")
        return line


def read(path: Path) -> Rules:
    """Read the rules. Raises SetupError that tells every mistake, each with its place and what to write instead."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SetupError(
            f"there are no notification rules at {path}", hint="correct 'notify_rules' in fleet.toml, or write the file"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"{path}: {error}", hint="correct the file") from error
    mistakes = [f"unknown table '{key}': use mail, contact or rule" for key in document.keys() - TABLES]
    mail = _read_one(document.get("mail"), Mail, "[mail]", mistakes) if "mail" in document else None
    contacts = _read_list(document, "contact", Contact, mistakes)
    rules = _read_list(document, "rule", Rule, mistakes)
    found = Rules(path.parent, mail, tuple(contacts), tuple(rules))
    if not mistakes:  # what names what is worth saying once each part can be read
        mistakes += _check(found)
    if mistakes:
        raise SetupError(f"{path}: " + "\n  ".join(["the rules are not usable", *mistakes]), hint="correct the file")
    return found


TABLES = {"mail", "contact", "rule"}


def _read_list(document: dict[str, Any], key: str, model: type[S], mistakes: list[str]) -> list[S]:
    tables = document.get(key, [])
    if not isinstance(tables, list):
        mistakes.append(f"'{key}' must be a list of tables: write [[{key}]]")
        return []
    read_all = (_read_one(table, model, f"[[{key}]] {n}", mistakes) for n, table in enumerate(tables, 1))
    return [one for one in read_all if one is not None]


def _read_one(table: Any, model: type[S], place: str, mistakes: list[str]) -> S | None:
    try:
        return msgspec.convert(table, model)
    except msgspec.ValidationError as error:
        mistakes.append(f"{place}: {str(error).replace('`$.', '`').replace('`object`', 'a table')}")
        return None


def _check(rules: Rules) -> Iterator[str]:
    names = [contact.name for contact in rules.contacts]
    for number, contact in enumerate(rules.contacts, 1):
        place = f"[[contact]] {number} '{contact.name}'"
        yield from (f"{place}: {mistake}" for mistake in _check_contact(rules, contact))
        if names.index(contact.name) != number - 1:
            yield f"{place}: the name is taken: give each contact a name of its own"
    for number, rule in enumerate(rules.rules, 1):
        called = [*rule.contacts, *(name for step in rule.escalate for name in step.contacts)]
        for name in called:
            if name not in names:
                known = ", ".join(sorted(names)) or "none is defined"
                yield f"[[rule]] {number}: there is no contact '{name}': use one of: {known}"
    if rules.mail is not None and rules.mail.password_file:
        yield from _check_secret(rules, rules.mail.password_file, "[mail]: password_file")


def _check_contact(rules: Rules, contact: Contact) -> Iterator[str]:
    if contact.kind == "email":
        if not contact.address:
            yield "'address' is missing: write the e-mail address"
        if rules.mail is None:
            yield "no mail server is told: add a table [mail] with host and sender"
    elif not _is_usable(contact.url):
        yield f"'{contact.url}' is not a URL to post to: write url = \"https://host/path\""
    if contact.kind == "cap" and not contact.sender:
        yield "'sender' is missing: write the name that the platform knows you by, such as fengsui@yufu.example"
    if contact.secret_file:
        yield from _check_secret(rules, contact.secret_file, "secret_file")


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that stays open
        return False


def _check_secret(rules: Rules, file: str, key: str) -> Iterator[str]:
    try:
        rules.secret(file)
    except (OSError, ValueError) as error:
        yield f"{key}: cannot read '{file}' ({error}): write the secret in its first line"
