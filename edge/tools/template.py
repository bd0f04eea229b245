"""``fengsui-edge template``: which alarm templates there are, their numbers and source, and to add one to a file."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edge import template as templates
from edge.alarm_settings import AlarmRule
from edge.errors import ConfigurationError, EdgeError
from edge.template import RuleTemplate, Template
from edge.template_words import tell_bounds, tell_condition, tell_delays, tell_made, tell_number, tell_value, word
from edge.tools.document import load, understand
from edge.tools.target import CONFIG, add_config
from edge.tools.terminal import add_json, ask, note, print_folded, print_json, print_table

EXAMPLES = """\
  fengsui-edge template list --sector chemical
  fengsui-edge template show gas-h2s --lang zh
  fengsui-edge template apply gas-h2s --tag gd-01.gas --param oel=8"""

ANY = "any"
"""The sector of templates that are for every site."""
OF_ANY = {"zh": f"各行业通用的模板: --sector {ANY}", "en": f"There are also templates for any site: --sector {ANY}"}
LIST_HEADERS = {
    "zh": ("模板", "行业", "单位", "名称", "依据"),
    "en": ("template", "sector", "unit", "title", "source"),
}
SHOW_HEADERS = {
    "zh": ("规则", "报警条件", "回差", "延时", "优先级", "名称", "依据", "说明"),
    "en": ("rule", "raised while", "deadband", "delays", "priority", "title", "source", "note"),
}
PARAMETER_HEADERS = {
    "zh": ("参数", "名称", "单位", "取值", "范围"),
    "en": ("parameter", "title", "unit", "value", "may be"),
}
MADE_HEADERS = {
    "zh": ("报警", "报警条件", "回差", "延时", "优先级", "名称", "依据"),
    "en": ("alarm", "raised while", "deadband", "delays", "priority", "title", "source"),
}

STATUS = "done; 1 none was found, or nothing was added"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    actions = parser.add_subparsers(required=True, metavar="list|show|apply")
    listing = actions.add_parser("list", help="the templates that there are")
    listing.add_argument("--sector", default="", help="only those of a sector")
    showing = actions.add_parser("show", help="the numbers of one, and their source")
    applying = actions.add_parser("apply", help="show the rules that it makes of a tag, ask, and add it to the file")
    for action in (showing, applying):
        action.add_argument("name", help="name of the template")
    applying.add_argument("--tag", action="append", required=True, help="full name of the tag; again for several")
    applying.add_argument("--param", action="append", default=[], metavar="KEY=VALUE", help="what the site knows")
    applying.add_argument("--yes", action="store_true", help="do not ask: for scripts")
    add_config(applying)
    for action, do in ((listing, _list), (showing, _show), (applying, _apply)):
        action.add_argument("--lang", choices=("zh", "en"), default=_language(), help="default: that of LANG")
        add_json(action)
        action.set_defaults(action=do)


def run(options: argparse.Namespace) -> int:
    """Do what is asked. Returns 1 if there is no such template or nothing was added."""
    status: int = options.action(options)
    return status


def _language() -> str:
    chosen = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG", "")
    return "zh" if chosen.startswith("zh") else "en"


def _list(options: argparse.Namespace) -> int:
    known = [templates.load(name) for name in templates.names()]
    found = [each for each in known if options.sector in ("", each.sector)]
    if options.json:
        print_json([{key: getattr(each, key) for key in ("name", "title", "title_en", "sector")} for each in found])
    elif found:
        lang = options.lang
        rows = [(each.name, _sector(each, lang), each.unit, _title(each, lang), each.source) for each in found]
        print_table(LIST_HEADERS[lang], rows)
        if options.sector not in ("", ANY):
            note(OF_ANY[options.lang])
    else:
        note(f"No template is for '{options.sector}': {', '.join(sorted({each.sector for each in known}))}")
    return 0 if found else 1


def _title(part: Template | RuleTemplate, language: str) -> str:
    return part.title if language == "zh" else part.title_en


def _sector(template: Template, language: str) -> str:
    """The sector in words, and as `--sector` takes it."""
    said = word(template.sector, language)
    return said if said == template.sector else f"{said} {template.sector}"


def _show(options: argparse.Namespace) -> int:
    template = templates.load(options.name)
    if options.json:
        print_json(template)
        return 0
    is_chinese = options.lang == "zh"
    print(f"{template.name}: {_title(template, options.lang)}")
    print_folded(template.note if is_chinese else template.note_en)
    rows = [
        (
            rule.key,
            tell_condition(rule, template, options.lang),
            tell_number(rule.deadband, template, language=options.lang),
            tell_delays(rule),
            str(rule.priority),
            _title(rule, options.lang),
            rule.source,
            rule.note if is_chinese else rule.note_en,
        )
        for rule in template.rule
    ]
    print_table(SHOW_HEADERS[options.lang], rows)
    _show_parameters(template, options.lang)
    return 0


def _show_parameters(template: Template, language: str) -> None:
    """List what a site may or must give."""
    rows = [
        (
            name,
            each.title if language == "zh" else each.title_en,
            each.unit,
            tell_value(each, language),
            tell_bounds(each, language),
        )
        for name, each in template.parameter.items()
        if name not in template.fixed
    ]
    if rows:
        print()
        print_table(PARAMETER_HEADERS[language], rows)


def _apply(options: argparse.Namespace) -> int:
    """Add a template to the end of the file, once the whole file is known to be right with it."""
    path: Path = (options.config or CONFIG).resolve()
    template = templates.load(options.name)
    if not options.yes and not sys.stdin.isatty():
        raise ConfigurationError("nobody can be asked: this is no terminal\n    add --yes to write all the same")
    before = {rule.name: rule for rule in load(path)[1].alarms}
    lines = _lines(template, options)
    draft = path.with_name(path.name + ".new")
    try:
        text = path.read_bytes()
        text += (b"" if text.endswith(b"\n") else b"\n") + lines.encode()
        configuration = understand(path, text.decode("utf-8-sig"))[1]
        made = [rule for rule in configuration.alarms if before.get(rule.name) != rule]
        _tell(made, {tag.name: tag.unit for tag in configuration.tags}, lines, options)
        if not options.yes and not ask(f"Add it to {path}?"):
            raise EdgeError("nothing was added")
        draft.write_bytes(text)
        shutil.copymode(path, draft)
        os.replace(draft, path)
    except OSError as error:
        raise EdgeError(f"{path} cannot be written: {error.strerror}", hint="run as its owner") from error
    finally:
        draft.unlink(missing_ok=True)
    return 0


def _lines(template: Template, options: argparse.Namespace) -> str:
    table = {"name": template.name, "of": options.tag, **dict(_parameter(pair) for pair in options.param)}
    return "\n[[template]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())


def _toml(value: object) -> str:
    """Write a value in TOML, which has the texts, numbers and lists of JSON; only its tables are others."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    return msgspec.json.encode(value).decode()


def _parameter(pair: str) -> tuple[str, object]:
    key, equals, text = pair.partition("=")
    if not equals or not (key.isascii() and key.isidentifier()):
        raise ConfigurationError(f"'{pair}' is no KEY=VALUE\n    write --param high=8.5")
    try:
        return key, msgspec.toml.decode(f"value = {text}")["value"]
    except msgspec.DecodeError:
        return key, text  # a word needs no quotes here


def _tell(made: list[AlarmRule], units: Mapping[str, str], lines: str, options: argparse.Namespace) -> None:
    if options.json:
        print_json({"lines": lines, "rules": made})
        return
    rows = [
        (
            rule.name,
            tell_made(rule, units.get(rule.tag, ""), options.lang),
            f"{rule.deadband:g}",
            tell_delays(rule),
            str(rule.priority),
            rule.title,
            rule.source,
        )
        for rule in made
    ]
    print_table(MADE_HEADERS[options.lang], rows)
    print(lines)
