"""The API by its own OpenAPI document: whatever may be sent, no answer is a server's fault."""

from __future__ import annotations

import os
from pathlib import Path

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


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> OpenApiSchema:
    data: Path = tmp_path_factory.mktemp("api")
    services = bootstrap(Settings(data_dir=data, broker_password="x", secret_key="y"))
    revisions.upgrade(services.database.engine)
    Scene(services)
    with services.database.writing() as session:
        accounts.add(session, "admin", None, Role.ADMINISTRATOR, services.clock())
        token = tokens.make(session, "admin", "test", [str(scope) for scope in SCOPES], 1, services.clock())
    app = create_app(services)
    return schemathesis.openapi.from_wsgi("/api/openapi.json", app, headers={"Authorization": f"Bearer {token}"})


def test_no_answer_is_a_server_error(api: OpenApiSchema) -> None:
    tried = 0
    for result in api.get_all_operations():
        operation = result.ok()
        answered = []

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
            phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case, answered: list[int] = answered) -> None:
            answer = case.call(headers=dict(api.config.headers or {}))
            answered.append(answer.status_code)
            assert answer.status_code < 500, answer.text
            assert answer.status_code not in {401, 403}, "the token must open every operation"

        ask()
        assert answered, operation.label
        tried += 1
    assert tried >= 20
