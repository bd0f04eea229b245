"""Configuration templates: one TOML document for many gateways, with variables for what differs.

A document has the tables of a gateway's own file that the fleet may set, ``[variable.NAME]`` for each variable, and
``${NAME}`` in texts:

    [variable.plc]
    title = "controller's address"

    [[bus]]
    name = "plc"
    kind = "modbus"
    url = "tcp://${plc}:502"

A text that is nothing but ``${NAME}`` becomes the variable's value with its kind; ``$$`` is a ``$``. A new version of a
template changes no gateway by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from fleet.configs import service
from fleet.configs.models import ConfigTemplate, DesiredConfig
from fleet.errors import InvalidError, NotFoundError
from fleet.gateways import service as gateways
from fleet.gateways.models import Gateway
from provisioning import template as documents
from provisioning.template import TemplateError, Variable

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def list_newest(session: Session) -> Sequence[ConfigTemplate]:
    """Return the newest version of each template, by key."""
    newest = (
        sa.select(ConfigTemplate.key, sa.func.max(ConfigTemplate.version).label("version"))
        .group_by(ConfigTemplate.key)
        .subquery()
    )
    is_newest = sa.and_(ConfigTemplate.key == newest.c.key, ConfigTemplate.version == newest.c.version)
    return session.scalars(sa.select(ConfigTemplate).join(newest, is_newest).order_by(ConfigTemplate.key)).all()


def get(session: Session, key: str) -> ConfigTemplate:
    """Return the newest version of a template. Raises NotFoundError."""
    query = sa.select(ConfigTemplate).where(ConfigTemplate.key == key)
    template = session.scalar(query.order_by(ConfigTemplate.version.desc()).limit(1))
    if template is None:
        raise NotFoundError(f"there is no configuration template '{key}'", hint="run: fengsui-fleet template list")
    return template


def list_versions(session: Session, key: str) -> Sequence[ConfigTemplate]:
    """Return all versions of a template, newest first. Raises NotFoundError."""
    get(session, key)
    query = sa.select(ConfigTemplate).where(ConfigTemplate.key == key)
    return session.scalars(query.order_by(ConfigTemplate.version.desc())).all()


def list_runs(session: Session, key: str) -> list[tuple[Gateway, DesiredConfig | None]]:
    """Return each gateway of a template with its newest desired configuration, which may be of something else."""
    newest = (
        sa.select(DesiredConfig.gateway, sa.func.max(DesiredConfig.version).label("version"))
        .group_by(DesiredConfig.gateway)
        .subquery()
    )
    query = (
        sa.select(Gateway, DesiredConfig)
        .outerjoin(newest, newest.c.gateway == Gateway.name)
        .outerjoin(
            DesiredConfig,
            sa.and_(DesiredConfig.gateway == Gateway.name, DesiredConfig.version == newest.c.version),
        )
        .where(Gateway.template == key)
        .order_by(Gateway.name)
    )
    rows = session.execute(query.options(defer(Gateway.reported), defer(DesiredConfig.config)))
    return [(gateway, desired) for gateway, desired in rows]


def add(session: Session, key: str, document: str, title: str, sector: str, author: str, now_ns: int) -> ConfigTemplate:
    """Add a template, or its next version. Raises InvalidError that says what is wrong with the document."""
    if not KEY_PATTERN.fullmatch(key):
        raise InvalidError(f"'{key}' is not a template's key", hint="use up to 63 of a-z, 0-9 and '-', not '-' first")
    with _as_invalid():
        documents.check(document)
    query = sa.select(sa.func.max(ConfigTemplate.version)).where(ConfigTemplate.key == key)
    version = (session.scalar(query) or 0) + 1
    template = ConfigTemplate(
        key=key, version=version, title=title or key, sector=sector, document=document, author=author, at_ns=now_ns
    )
    session.add(template)
    session.flush()
    return template


def variables_of(template: ConfigTemplate) -> dict[str, Variable]:
    """Return a template's variables by name, in the order in which it declares them."""
    with _as_invalid():
        return documents.read(template.document)[0]


def render(template: ConfigTemplate, given: Mapping[str, Any]) -> dict[str, Any]:
    """Make a configuration. Raises InvalidError that names each variable missing, unknown or of another kind."""
    with _as_invalid():
        return documents.render(template.key, template.document, given)


def apply(
    session: Session, gateway: str, key: str, given: Mapping[str, Any], author: str, now_ns: int
) -> DesiredConfig:
    """Write a gateway's next desired configuration from a template, and keep what it was made of.

    Raises NotFoundError or InvalidError.
    """
    row, template = gateways.get(session, gateway), get(session, key)
    config = render(template, given)
    newest = service.latest(session, gateway)
    expected = newest.version if newest else 0
    desired = service.put(session, gateway, config, expected, author, now_ns, (key, template.version))
    row.template, row.variables = key, dict(given)
    return desired


@contextmanager
def _as_invalid() -> Iterator[None]:
    try:
        yield
    except TemplateError as error:
        raise InvalidError(str(error), hint=error.hint) from error
