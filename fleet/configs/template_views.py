"""The API of configuration templates: versions, and what they would change on many gateways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiflask import Schema
from apiflask.fields import Dict, Integer, List, Nested, Raw, String
from apiflask.validators import Length, Range

from fleet.api import INT_MAX, changing, find_account, find_services, make_blueprint, reading
from fleet.configs import applying, templates
from fleet.configs.applying import Target
from fleet.configs.models import ConfigTemplate
from fleet.configs.views import PreviewOut, VersionOut, show_preview
from provisioning.template import DOCUMENT_MOST

blueprint = make_blueprint("templates")
GATEWAYS_MOST = 500
"""That one request names."""


class VariableOut(Schema):
    """A variable of a template; without a default each gateway has to give it."""

    name = String()
    title = String()
    kind = String()
    default = Raw(allow_none=True)


class TemplateOut(Schema):
    """A version of a template, without its document."""

    key = String()
    version = Integer()
    title = String()
    sector = String()
    author = String()
    at_ns = Integer()
    variables = List(Nested(VariableOut))


class RunOut(Schema):
    """A gateway of the template, and which version its newest configuration was made of; null if of something else."""

    gateway = String()
    template_version = Integer(allow_none=True)
    variables = Dict()


class DocumentOut(TemplateOut):
    """A template with its document, and who runs it."""

    document = String()
    gateways = List(Nested(RunOut))


class AddedOut(TemplateOut):
    """The version that was added."""


class TemplatesOut(Schema):
    """The newest version of each template, by key."""

    templates = List(Nested(TemplateOut))


class DocumentIn(Schema):
    """A template's next version: TOML, as `fengsui-fleet template add` takes it."""

    document = String(required=True, validate=Length(max=DOCUMENT_MOST))
    title = String(load_default="", validate=Length(max=200))
    sector = String(load_default="", validate=Length(max=64))


class TargetIn(Schema):
    """A gateway, and what it gives: a variable that is left out keeps the value it has there."""

    gateway = String(required=True)
    variables = Dict(load_default=dict, keys=String())


class TargetsIn(Schema):
    """Gateways that would get the newest version of the template."""

    gateways = List(Nested(TargetIn), required=True, validate=Length(1, GATEWAYS_MOST))


class SeenTargetIn(TargetIn):
    """A gateway, and the newest version of its configuration that was seen."""

    version = Integer(required=True, strict=True, validate=Range(0, INT_MAX))


class ApplyIn(Schema):
    """Gateways that get the template, all of them or none. ``template_version`` is the one that was seen."""

    template_version = Integer(required=True, strict=True, validate=Range(1, INT_MAX))
    gateways = List(Nested(SeenTargetIn), required=True, validate=Length(1, GATEWAYS_MOST))


class TargetPreviewOut(PreviewOut):
    """What applying would do to one gateway."""


class PreviewsOut(Schema):
    """What applying would do, gateway by gateway."""

    template_version = Integer()
    previews = List(Nested(TargetPreviewOut))


class AppliedOut(Schema):
    """The configurations that were written."""

    configurations = List(Nested(VersionOut))


@blueprint.get("/templates")
@blueprint.output(TemplatesOut)
def list_templates() -> Any:
    """List the configuration templates."""
    with reading() as session:
        return {"templates": [_show(row) for row in templates.list_newest(session)]}


@blueprint.get("/templates/<key>")
@blueprint.output(DocumentOut)
def get_template(key: str) -> Any:
    """Show the newest version of a template, and the gateways that were given it."""
    with reading() as session:
        row = templates.get(session, key)
        runs = [
            {
                "gateway": gateway.name,
                "template_version": desired.template_version if desired and desired.template == key else None,
                "variables": gateway.variables,
            }
            for gateway, desired in templates.list_runs(session, key)
        ]
        return {**_show(row), "document": row.document, "gateways": runs}


@blueprint.post("/templates/<key>")
@blueprint.input(DocumentIn)
@blueprint.output(AddedOut)
def add_template(key: str, json_data: dict[str, str]) -> Any:
    """Add a template, or its next version. No gateway changes by that."""
    services, account = find_services(), find_account()
    with changing("template.add", key) as session:
        row = templates.add(session, key, **json_data, author=account.name, now_ns=services.clock())
        return _show(row)


@blueprint.post("/templates/<key>/preview")
@blueprint.input(TargetsIn)
@blueprint.output(PreviewsOut)
def preview_template(key: str, json_data: dict[str, Any]) -> Any:
    """Tell what the newest version of a template would change on each gateway. Nothing is sent."""
    with reading() as session:
        version = templates.get(session, key).version
        targets = _read(json_data["gateways"])
        seen = applying.preview(session, key, targets, find_services().settings.data_dir)
        return {"template_version": version, "previews": [show_preview(one) for one in seen]}


@blueprint.post("/templates/<key>/apply")
@blueprint.input(ApplyIn)
@blueprint.output(AppliedOut)
def apply_template(key: str, json_data: dict[str, Any]) -> Any:
    """Send a template to gateways, to all of them or to none. Answers 409 if one of them was changed since."""
    services, account = find_services(), find_account()
    targets = _read(json_data["gateways"])
    with changing("template.apply", key, gateways=[target.gateway for target in targets]) as session:
        return {
            "configurations": applying.apply(
                session, key, json_data["template_version"], targets, account.name, services.clock(),
                services.settings.data_dir,
            )
        }  # fmt: skip


def _read(given: list[Mapping[str, Any]]) -> list[Target]:
    return [Target(row["gateway"], row["variables"], row.get("version", 0)) for row in given]


def _show(row: ConfigTemplate) -> dict[str, Any]:
    return {
        "key": row.key,
        "version": row.version,
        "title": row.title,
        "sector": row.sector,
        "author": row.author,
        "at_ns": row.at_ns,
        "variables": [
            {"name": name, "title": variable.title, "kind": variable.kind, "default": variable.default}
            for name, variable in templates.variables_of(row).items()
        ],
    }
