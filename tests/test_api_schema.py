"""Requests made from the API's own schema, sane and hostile: nothing breaks, and every answer is what
the schema says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
)

from appliance.access.roles import Role
from appliance.admin.api.app import make_api
from appliance.store.database import open_engine
from tests.conftest import _url, make_database
from tests.console_kit import ConsoleProcess, key, person

pytestmark = pytest.mark.server

EXAMPLES = 6
"""Of each operation."""
TIMEOUT_S = 20


@pytest.fixture(scope="module")
def console(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    make_database(postgres, "api_schema", "ivr_template")
    environment = {
        "IVR_DATABASE__URL": _url(postgres, "api_schema"),
        "IVR_ADMIN__TLS": "false",
        "IVR_ADMIN__REQUESTS_A_MINUTE": "1000000",
    }
    process = ConsoleProcess(tmp_path_factory.mktemp("schema"), environment)
    process.open()
    yield process
    process.close()


@pytest.fixture(scope="module")
def secret(console: ConsoleProcess) -> str:
    """A key of an operator, who may do all."""

    async def make() -> str:
        engine = open_engine(console.settings.database.url)
        try:
            return await key(engine, await person(engine, Role.OPERATOR))
        finally:
            await engine.dispose()

    return asyncio.run(make())


SCHEMA = schemathesis.openapi.from_dict(make_api().openapi())
ENDLESS = {"GET /api/v1/live/events"}
"""Streams, which end with their session; tests/test_live_page.py follows one."""
OPERATIONS = {
    found.ok().label: found.ok()
    for found in SCHEMA.get_all_operations()
    if found.ok().label not in ENDLESS
}
CHECKS = (not_a_server_error, content_type_conformance, response_schema_conformance)


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_operation_answers_as_its_schema_says(
    label: str, console: ConsoleProcess, secret: str
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy())
    def ask(case: Case) -> None:
        headers = {"Authorization": f"Bearer {secret}"}
        response = case.call(base_url=console.url, headers=headers, timeout=TIMEOUT_S)
        case.validate_response(response, checks=CHECKS)

    ask()
