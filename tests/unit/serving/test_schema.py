"""Requests that are generated from the schema never break the server."""

import pytest
from hypothesis import HealthCheck, given, settings
from served import TOKEN, Server

schemathesis = pytest.importorskip("schemathesis")


@pytest.mark.filterwarnings("ignore")
def test_no_generated_request_breaks_the_server(tmp_path):
    app = Server(tmp_path / "jobs").client.app
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    headers = {"authorization": f"Bearer {TOKEN}"}
    for operation in schema.get_all_operations():

        @settings(max_examples=10, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def check(case):
            assert case.call(headers=headers).status_code < 500

        check()
