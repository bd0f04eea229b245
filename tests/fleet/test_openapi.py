"""The API by its own OpenAPI document: whatever may be sent, no answer is a server's fault."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.schemas import OpenApiSchema

from fleet.accounts import service as accounts
from fleet.accounts import tokens
from fleet.accounts.authorization import SCOPES
from fleet.accounts.models import Role
from fleet.app import create_app
from fleet.bootstrap import bootstrap
from fleet.migrations import revisions
from fleet.settings import Settings
from tests.fleet.scene import Scene

EXAMPLES = int(os.environ.get("FENGSUI_API_EXAMPLES", "50"))


Api = tuple[OpenApiSchema, dict[str, str]]
"""The document, and the headers that open every operation."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    data: Path = tmp_path_factory.mktemp("api")
    services = bootstrap(Settings(data_dir=data, broker_password="x", secret_key="y"))
    revisions.upgrade(services.database.engine)
    Scene(services)
    with services.database.writing() as session:
        accounts.add(session, "admin", None, Role.ADMINISTRATOR, services.clock())
        token = tokens.make(session, "admin", "test", [str(scope) for scope in SCOPES], 1, services.clock())
    app = create_app(services)
    return schemathesis.openapi.from_wsgi("/api/openapi.json", app), {"Authorization": f"Bearer {token}"}


def answers(operation: Any, headers: dict[str, str]) -> list[int]:
    """Send examples of one operation; the status of each answer."""
    answered: list[int] = []

    @settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def ask(case: schemathesis.Case) -> None:
        answer = case.call(headers=headers)
        answered.append(answer.status_code)
        assert answer.status_code < 500, answer.text
        assert answer.status_code not in {401, 403}, "the token must open every operation"

    ask()
    return answered


def test_no_answer_is_a_server_error(api: Api) -> None:
    document, headers = api
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) >= 20
    for operation in operations:
        assert answers(operation, headers), operation.label
