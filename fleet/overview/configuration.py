"""What the pages of configurations show: both halves of a gateway's twin, its versions, and drift."""

from __future__ import annotations

from typing import Any

import msgspec

from fleet.configs import drift, service, templates
from fleet.configs.diff import Change, compare
from fleet.configs.drift import Drift
from fleet.configs.models import ConfigTemplate, DesiredConfig
from fleet.configs.sending import read_reported, write_toml
from fleet.errors import InvalidError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from fleet.overview.sources import Sources
from provisioning.template import Variable

VERSIONS_PAGE = 30


class ConfigurationPage(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway's configuration. ``changes`` lead from what it runs to what the fleet wants; ``older`` is the version
    before which there are more."""

    gateway: str
    title: str
    release: str
    desired: DesiredConfig | None
    reported_version: int | None
    reported_ns: int | None
    refused: int | None
    reason: str
    trial: str
    trial_version: int | None
    trial_ns: int | None
    unanswered: tuple[str, ...]
    drift: Drift | None
    changes: tuple[Change, ...]
    desired_toml: str
    reported_toml: str
    versions: tuple[DesiredConfig, ...]
    older: int | None
    template: str
    templates: tuple[ConfigTemplate, ...]


class TemplateRun(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway of a template. ``given`` is the template's version that it was last given, None if by now it has got
    something else."""

    gateway: str
    title: str
    given: int | None
    variables: dict[str, Any]


class TemplatePage(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a template, its variables, its versions, and the gateways: those that run it and the others."""

    template: ConfigTemplate
    newest: int
    variables: dict[str, Variable]
    versions: tuple[ConfigTemplate, ...]
    runs: tuple[TemplateRun, ...]
    others: tuple[tuple[str, str], ...]


def find_configuration(sources: Sources, name: str, before: int | None) -> ConfigurationPage:
    """Gather a gateway's configuration. Raises NotFoundError."""
    session = sources.session
    row = gateways.get(session, name)
    desired = service.latest(session, name)
    said, running = row.reported or {}, read_reported(row)
    unanswered = said.get("unanswered")
    versions = service.history(session, name, before, VERSIONS_PAGE)
    drifts = drift.find(session, sources.now_ns, name)
    return ConfigurationPage(
        gateway=name,
        title=row.title,
        release=row.release,
        desired=desired,
        reported_version=row.reported_version,
        reported_ns=row.reported_ns,
        refused=row.refused_version,
        reason=str(said.get("reason") or ""),
        trial=row.trial,
        trial_version=row.trial_version,
        trial_ns=row.trial_ns,
        unanswered=tuple(map(str, unanswered)) if isinstance(unanswered, list) else (),
        drift=drifts[0] if drifts else None,
        changes=compare(running, desired.config) if desired and row.reported else (),
        desired_toml=write_toml(desired.config) if desired else "",
        reported_toml=write_toml(running),
        versions=tuple(versions),
        older=versions[-1].version if len(versions) == VERSIONS_PAGE and versions[-1].version > 1 else None,
        template=row.template,
        templates=tuple(templates.list_newest(session)),
    )


def find_template(sources: Sources, key: str, version: int | None) -> TemplatePage:
    """Gather a template; its newest version unless another is asked for. Raises NotFoundError."""
    session = sources.session
    versions = templates.list_versions(session, key)
    shown = next((row for row in versions if row.version == version), versions[0])
    runs = [_run(key, gateway, desired) for gateway, desired in templates.list_runs(session, key)]
    known = {run.gateway for run in runs}
    return TemplatePage(
        template=shown,
        newest=versions[0].version,
        variables=templates.variables_of(shown),
        versions=tuple(versions),
        runs=tuple(runs),
        others=tuple((row.name, row.title) for row in gateways.list_all(session) if row.name not in known),
    )


def _run(key: str, gateway: Gateway, desired: DesiredConfig | None) -> TemplateRun:
    is_given = desired is not None and desired.template == key
    return TemplateRun(
        gateway=gateway.name,
        title=gateway.title,
        given=desired.template_version if desired is not None and is_given else None,
        variables=dict(gateway.variables),
    )


def list_variables(sources: Sources, name: str, key: str) -> dict[str, tuple[Variable, Any]]:
    """A template's variables, each with the value that a gateway has, or would take. Raises NotFoundError."""
    row = gateways.get(sources.session, name)
    declared = templates.variables_of(templates.get(sources.session, key))
    return {name: (variable, row.variables.get(name, variable.default)) for name, variable in declared.items()}


def start_text(sources: Sources, name: str, version: int | None) -> tuple[int, str]:
    """What an author begins with: the newest version's number, and the text of the one asked for.

    Without any, that is the text of what the gateway says that it runs. Raises NotFoundError, InvalidError.
    """
    row = gateways.get(sources.session, name)
    newest = service.latest(sources.session, name)
    if version is not None:
        return newest.version if newest else 0, write_toml(service.get(sources.session, name, version).config)
    if newest is not None:
        return newest.version, write_toml(newest.config)
    if row.reported is None:
        raise InvalidError(f"'{name}' has not reported what it runs", hint="wait for it, or take a template")
    return 0, write_toml(read_reported(row))
