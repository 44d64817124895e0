"""The OpenAPI description: it is of this surface, and the surface keeps to it."""

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings

from batchsim.backends.fake import FakeBackend
from batchsim.wire import App, Request
from batchsim.wire.app import ROUTES

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


def wsgi(environ, start_response):
    """The App as schemathesis calls it."""
    headers = [
        (name[5:].replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    headers += [("content-type", environ["CONTENT_TYPE"])] if environ.get("CONTENT_TYPE") else []
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = quote(environ["PATH_INFO"].encode("latin-1"))
    answer = APP.handle(
        Request(
            environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], tuple(headers), iter([body])
        )
    )
    start_response(f"{answer.status} -", list(answer.headers))
    return list(answer.body)


APP = App(FakeBackend(seed=1, pacing="instant"), api_keys=["sk-right"])


@pytest.fixture(scope="module")
def schemathesis():
    return pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def surface(schemathesis):
    return schemathesis.openapi.from_wsgi("/openapi.json", wsgi)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_no_request_gets_an_answer_that_is_not_described(schemathesis, surface, route):
    operation = surface[route.path][route.method]
    # A file must be JSONL, a query may hold more than is described: these two know too little.
    checks = schemathesis.checks
    unfit = [checks.positive_data_acceptance, checks.negative_data_rejection]

    good, bad = (
        operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode
    )

    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(good | bad)
    def check(case):
        authorization = {"Authorization": "Bearer sk-right"}
        case.call_and_validate(headers=authorization, excluded_checks=unfit)

    check()


@pytest.fixture
def description(door):
    return door.send("GET", "/openapi.json", authorization=None).json


def test_everybody_may_read_the_description(door):
    answer = door.send("GET", "/openapi.json", authorization=None)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["openapi"] == "3.1.0"
    assert door.send("POST", "/openapi.json").status == 404


def test_every_route_is_described_and_no_other(description):
    described = {
        (method.upper(), path) for path, item in description["paths"].items() for method in item
    }
    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_operation_has_a_name_of_its_own(description):
    names = [
        each["operationId"] for item in description["paths"].values() for each in item.values()
    ]
    assert len(names) == len(set(names))


def test_every_schema_is_one_and_is_used(description):
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    text = str(description)
    for name, schema in description["components"]["schemas"].items():
        jsonschema_rs.meta.validate(schema)
        assert f"#/components/schemas/{name}'" in text, name


def test_every_answer_of_a_batch_s_life_is_as_described(description, backend, door, input_content):
    jsonschema_rs = pytest.importorskip("jsonschema_rs")

    def check(name, answer):
        schema = {"$ref": f"#/components/schemas/{name}", **description}
        jsonschema_rs.validate(schema, answer.json)
        return answer.json

    file = check("File", door.upload_input(input_content))
    bad = check("File", door.upload_input(b"{}\n"))
    creation = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ids = [
        check("Batch", door.post_json("/v1/batches", {**creation, "input_file_id": each["id"]}))[
            "id"
        ]
        for each in (file, bad, file)
    ]
    check("Batch", door.send("POST", f"/v1/batches/{ids[2]}/cancel"))
    for _ in range(100):
        backend.clock.advance(15)
        for batch_id in ids:
            check("Batch", door.send("GET", f"/v1/batches/{batch_id}"))
    page = check("BatchList", door.send("GET", "/v1/batches"))
    assert [batch["status"] for batch in page["data"]] == ["cancelled", "failed", "completed"]
    check("FileList", door.send("GET", "/v1/files"))
    check("FileDeletion", door.send("DELETE", f"/v1/files/{file['id']}"))
    check("Error", door.send("DELETE", f"/v1/files/{file['id']}"))
    check("ModelList", door.send("GET", "/v1/models"))
    check("Answer", door.post_json("/v1/chat/completions", CHAT))
