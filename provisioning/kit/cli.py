"""The laptop's commands: ``fengsui-provision kit|site|usb|scan|commission|sync|report``."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from provisioning.codes import hash_code, make_code
from provisioning.errors import ProvisioningError, RequestError
from provisioning.keys import read_file
from provisioning.kit import onsite, usb
from provisioning.kit.book import Book, find_path
from provisioning.kit.documents import CONTENT, GRANT
from provisioning.kit.file import Kit, KitFile, Secrets, check_kit, open_secrets, read_kit_file, write_kit
from provisioning.kit.fleet import Fleet, make_slots, sync
from provisioning.kit.orders import choose_site, make_bundle
from provisioning.kit.report import make_report
from provisioning.kit.signed import verify
from provisioning.kit.texts import LANGUAGES, Texts, guess_language
from provisioning.label import read_list
from provisioning.signing import make_private_key, read_private_key, write_public_key
from provisioning.template import read as read_template

NS = 1_000_000_000
Work = Callable[[argparse.Namespace], None]


def add(commands: Any) -> None:
    """Add the commands."""
    kit = commands.add_parser("kit", help="what a laptop takes to a site without a link")
    actions = kit.add_subparsers(metavar="ACTION", required=True)
    make = _parser(actions, "make", "fetch a kit from the fleet", _kit_make)
    _add_fleet(make)
    make.add_argument("--site", action="append", required=True, metavar="KEY", help="a site to take along; repeatable")
    make.add_argument("--list", type=Path, metavar="FILE", help="CSV of gateways: gateway,title,site,template")
    make.add_argument("--spare", type=int, default=0, metavar="N", help="claims for gateways that get a name on site")
    make.add_argument("--days", type=int, default=7, metavar="N", help="how long the kit is good")
    make.add_argument("--out", type=Path, required=True, metavar="FILE", help="the kit, such as kit.fsk")
    show = _parser(actions, "open", "check a kit and show what is in it", _kit_open, kit=True)
    show.add_argument("--ca-sha256", default="", metavar="HEX", help="the fleet that it must be of")
    site = _parser(commands, "site", "say what a gateway is to be", _site, kit=True)
    _add_choice(site)
    stick = commands.add_parser("usb", help="a stick for a gateway that nobody can reach")
    actions = stick.add_subparsers(metavar="ACTION", required=True)
    make = _parser(actions, "make", "write the signed bundle of a gateway", _usb_make, kit=True)
    make.add_argument("--gateway", required=True, metavar="NAME")
    make.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the stick is mounted")
    read = _parser(actions, "read", "take the gateways' answers into the book", _usb_read, kit=True)
    read.add_argument("folder", type=Path, metavar="DIR", help="where the stick is mounted")
    look = _parser(commands, "scan", "have a gateway look who is on its lines", _scan)
    onsite.add_way(look)
    onsite.add_line(look)
    take = _parser(commands, "commission", "make a gateway what was chosen, and see it work", _commission, kit=True)
    take.add_argument("--gateway", required=True, metavar="NAME")
    onsite.add_way(take)
    onsite.add_line(take)
    take.add_argument("--watch-s", type=float, default=onsite.WATCH_S, metavar="S", help="how long to wait for values")
    back = _parser(commands, "sync", "bring the book to the fleet", _sync, kit=True)
    _add_fleet(back)
    report = _parser(commands, "report", "write the commissioning report of a gateway", _report)
    report.add_argument("--gateway", required=True, metavar="NAME")
    report.add_argument("--out", type=Path, metavar="FILE", help="a text file; else it is shown")


def _parser(group: Any, name: str, about: str, work: Work, *, kit: bool = False) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=about, description=about)
    if kit:
        parser.add_argument("kit", type=Path, metavar="KIT", help="the kit's file")
    parser.add_argument("--book", type=Path, default=find_path(), metavar="FILE", help="the book of what was done")
    parser.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who does it")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="the kit's passphrase; else it is typed")
    parser.add_argument("--language", choices=LANGUAGES, default=guess_language(), help="of what is shown")
    parser.add_argument("--json", action="store_true", help="show one document of JSON")
    parser.set_defaults(run=work)
    return parser


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", required=True, help="the fleet's address, https://host")
    parser.add_argument("--token-file", type=Path, required=True, metavar="FILE", help="an API token, scope provision")
    parser.add_argument("--ca-sha256", default="", metavar="HEX", help="its root; else the system's authorities")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gateway", required=True, metavar="NAME", help="7 to 63 of a-z, 0-9 and '-'")
    parser.add_argument("--title", default="", help="its name for people")
    parser.add_argument("--site", default="", metavar="KEY", help="the site where it stands")
    parser.add_argument("--template", default="", metavar="NAME", help="the configuration that it is to get")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the template")
    parser.add_argument("--lat", type=float, help="latitude in degrees")
    parser.add_argument("--lon", type=float, help="longitude in degrees")


def _kit_make(options: argparse.Namespace) -> None:
    if options.out.exists():
        raise RequestError("out", f"{options.out} is there already", hint="name another file: kits are made once")
    texts, passphrase, key = Texts(options.language), _passphrase(options, is_new=True), make_private_key()
    rows = _read_rows(options)
    codes = [make_code() for _ in range(len(rows) + options.spare)]
    asked = {
        "kit": f"kit-{uuid.uuid4().hex[:16]}",
        "laptop_key": write_public_key(read_private_key(key)).decode(),
        "url": options.url,
        "sites": options.site,
        "claims": [msgspec.structs.asdict(slot) for slot in make_slots(codes, rows, hash_code)],
        "days": options.days,
    }
    grant, content = Fleet(options.url, _token(options), options.ca_sha256).make_kit(asked)
    anchor = options.ca_sha256.replace(":", "").lower() or _anchor_of(grant.body)
    verify(GRANT, grant, anchor)
    verify(CONTENT, content, anchor)
    secrets = Secrets(codes={hash_code(code): code for code in codes}, laptop_key=key)
    write_kit(options.out, anchor, grant, content, secrets, passphrase)
    file = read_kit_file(options.out)
    kit = check_kit(file, time.time_ns())
    with _book(options) as book:
        book.trust(anchor)
    said = texts("kit-made", kit=kit.grant.kit, path=options.out, until=_at(kit.grant.expires_ns))
    _tell(options, said, kit=kit.grant.kit, path=str(options.out), expires_ns=kit.grant.expires_ns)


def _anchor_of(grant: bytes) -> str:
    """What the fleet says that its root is, over a connection that the system's authorities vouch for."""
    return str(msgspec.json.decode(grant, type=dict[str, Any]).get("ca_sha256", ""))


def _read_rows(options: argparse.Namespace) -> list[dict[str, str]]:
    if options.list is None:
        return []
    try:
        rows = read_list(read_file(options.list).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RequestError("list", f"{options.list} is not UTF-8", hint="save it as CSV in UTF-8") from error
    return [{"site": options.site[0], **{name: text for name, text in row.items() if text}} for row in rows]


def _kit_open(options: argparse.Namespace) -> None:
    texts, file = Texts(options.language), read_kit_file(options.kit)
    kit = check_kit(file, time.time_ns(), options.ca_sha256)
    open_secrets(file, _passphrase(options))
    with _book(options) as book:
        is_new = not book.knows(file.anchor)
        book.trust(file.anchor)
    lines = _describe(texts, kit, file)
    if is_new and not options.ca_sha256:
        lines.append(texts("kit-fleet-new"))
    _tell(options, "\n".join([*lines, texts("book-at", path=options.book)]), **_as_json(kit))


def _as_json(kit: Kit) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(kit.grant)
    templates = [{"key": form.key, "version": form.version} for form in kit.content.templates]
    return told | {"sites": msgspec.to_builtins(kit.content.sites), "templates": templates}


def _describe(texts: Texts, kit: Kit, file: KitFile) -> list[str]:
    grant, content = kit.grant, kit.content
    lines = [texts("kit-of", kit=grant.kit, by=grant.made_by, until=_at(grant.expires_ns))]
    lines.append(texts("kit-fleet", url=grant.url, anchor=file.anchor))
    lines += [texts("kit-site", key=site.key, title=site.title) for site in content.sites]
    for form in content.templates:
        lines.append(texts("kit-template", key=form.key, version=form.version, title=form.title))
        for name, variable in read_template(form.document)[0].items():
            key = "kit-variable" if variable.default is None else "kit-variable-default"
            told = {"name": name, "title": variable.title, "kind": variable.kind, "default": variable.default}
            lines.append(texts(key, **told))
    named = [slot for slot in grant.slots if slot.gateway]
    lines += [texts("kit-slot", gateway=s.gateway, site=s.site or "-", template=s.template or "-") for s in named]
    lines.append(texts("kit-spare", count=len(grant.slots) - len(named)))
    return lines


def _site(options: argparse.Namespace) -> None:
    kit = check_kit(read_kit_file(options.kit), time.time_ns())
    variables = dict(_read_variable(text) for text in options.set)
    chosen = {name: getattr(options, name) for name in ("title", "site", "template", "lat", "lon")}
    with _book(options) as book:
        order = choose_site(kit, book, options.gateway, chosen | {"variables": variables}, options.by, time.time_ns())
    said = Texts(options.language)("site-chosen", gateway=order.gateway, site=order.site, template=order.template)
    _tell(options, said, gateway=order.gateway, site=order.site, template=order.template, variables=order.variables)


def _read_variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise RequestError("variable", f"--set {text}: there is no '='", hint="write --set NAME=VALUE")
    return name, value


def _usb_make(options: argparse.Namespace) -> None:
    texts, file = Texts(options.language), read_kit_file(options.kit)
    kit = check_kit(file, time.time_ns())
    secrets = open_secrets(file, _passphrase(options))
    with _book(options) as book:
        bundle = make_bundle(kit, secrets, book, options.gateway, options.by, time.time_ns())
        path = usb.write_bundle(options.out, options.gateway, bundle, kit.grant.url, kit.grant.ca_sha256)
        book.add(kit.grant.kit, "bundle", options.gateway, options.by, time.time_ns(), {"file": path.name})
    said = f"{texts('bundle-written', path=path, gateway=options.gateway)}\n{texts('bundle-secret')}"
    _tell(options, said, path=str(path), gateway=options.gateway)


def _usb_read(options: argparse.Namespace) -> None:
    texts = Texts(options.language)
    kit = check_kit(read_kit_file(options.kit), 0)  # an answer counts also after the kit has expired
    answers = usb.read_answers(options.folder)
    with _book(options) as book:
        known = {line.detail.get("order", "") + str(line.detail.get("at_ns")) for line in book.lines(kit.grant.kit)}
        for answer in answers:
            if answer.order + str(answer.at_ns) not in known:
                told = msgspec.to_builtins(answer)
                book.add(kit.grant.kit, "usb-answer", answer.gateway, options.by, time.time_ns(), told)
    said = [texts("answer-read", gateway=a.gateway, said=f"{a.result} {a.said}".strip()) for a in answers]
    _tell(options, "\n".join(said), answers=[msgspec.to_builtins(answer) for answer in answers])


def _scan(options: argparse.Namespace) -> None:
    with onsite.signed_in(options) as gateway, _bar(Texts(options.language)("scan-bar")) as tell:
        found, said = onsite.scan(gateway, options, tell)
    _tell(options, said, **found)


def _commission(options: argparse.Namespace) -> None:
    """Hand over the bundle of what was chosen, watch the first values come, and try the outputs."""
    texts, file = Texts(options.language), read_kit_file(options.kit)
    kit = check_kit(file, time.time_ns())
    secrets = open_secrets(file, _passphrase(options))
    with _book(options) as book, onsite.signed_in(options) as gateway:
        bundle = make_bundle(kit, secrets, book, options.gateway, options.by, time.time_ns())
        if options.line:
            with _bar(texts("scan-bar")) as tell:
                found, said = onsite.scan(gateway, options, tell)
            _note(said, options)
            book.add(kit.grant.kit, "scan", options.gateway, options.by, time.time_ns(), onsite.shorten(found))
        _note(texts("handing-over", gateway=options.gateway), options)
        name = gateway.hand_over(msgspec.json.encode(bundle))
        book.add(kit.grant.kit, "bundle", name, options.by, time.time_ns(), {"by": "laptop"})
        with _bar(texts("watch-bar")) as tell:
            made = onsite.watch(gateway, options.watch_s, tell)
        for kind, detail in onsite.to_lines(made):
            book.add(kit.grant.kit, kind, name, options.by, time.time_ns(), detail)
        onsite.try_outputs(gateway, made, onsite.ask_yes, texts)
        ended = {"outputs": made.outputs, "refusals": made.refusals, "is_complete": made.is_complete}
        book.add(kit.grant.kit, "commission", name, options.by, time.time_ns(), ended)
    _tell(options, onsite.say(texts, name, made), gateway=name, **msgspec.to_builtins(made))


def _note(said: str, options: argparse.Namespace) -> None:
    if not options.json:
        print(said, file=sys.stderr)


def _sync(options: argparse.Namespace) -> None:
    texts = Texts(options.language)
    kit = check_kit(read_kit_file(options.kit), 0)  # the book of a kit that has expired comes back too
    fleet = Fleet(options.url, _token(options), options.ca_sha256 or kit.grant.ca_sha256)
    with _book(options) as book, _bar(texts("sync-bar")) as tell:
        count = sync(book, fleet, kit.grant.kit, time.time_ns, tell)
    _tell(options, texts("synced", count=count), synced=count)


def _report(options: argparse.Namespace) -> None:
    texts = Texts(options.language)
    with _book(options) as book:
        lines = book.lines(gateway=options.gateway)
    if not lines:
        raise RequestError("report", texts("report-none", gateway=options.gateway), hint="name another with --book")
    text = make_report(texts, options.gateway, lines)
    if options.out is None:
        _tell(options, text, lines=[msgspec.to_builtins(line) for line in lines])
        return
    try:
        options.out.write_text(text, "utf-8")
    except OSError as error:
        raise RequestError(
            "report", f"{options.out} cannot be written: {error.strerror}", hint="name another"
        ) from error


@contextmanager
def _book(options: argparse.Namespace) -> Iterator[Book]:
    book = Book(options.book)
    try:
        yield book
    finally:
        book.close()


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


def _passphrase(options: argparse.Namespace, *, is_new: bool = False) -> str:
    texts = Texts(options.language)
    if options.passphrase_file is not None:
        return read_file(options.passphrase_file).decode("utf-8", "replace").strip()
    typed = getpass.getpass(texts("passphrase"))
    if is_new and getpass.getpass(texts("passphrase-again")) != typed:
        raise RequestError("passphrase", texts("passphrase-differs"), hint="type it again")
    return typed


def _token(options: argparse.Namespace) -> str:
    return read_file(options.token_file, hint="make one: fengsui-fleet token").decode("ascii", "replace").strip()


def _at(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // NS).astimezone().isoformat(" ", "minutes")


def _tell(options: argparse.Namespace, said: str, **fields: Any) -> None:
    print(msgspec.json.encode(fields).decode() if options.json else said)


def translate(error: ProvisioningError, options: argparse.Namespace) -> str:
    """Say what went wrong in the language that was asked for, where there are words for it."""
    name = getattr(error, "name", "")
    if getattr(options, "language", "en") == "en":
        return str(error)
    words = Texts(options.language).find(f"error-{name}", "")
    return f"{words}（{error}）" if words else str(error)
