"""Recording a service through the proxy, and answering from the cassette."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx
import openai
import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.errors import InputError, UsageError
from batchsim.responders.cassette import REDACTED, Cassette
from batchsim.server.recording_proxy import RecordingProxy
from batchsim.server.serve import running
from batchsim.wire import App, Request

pytestmark = pytest.mark.sdk

CHAT = "/v1/chat/completions"
CANARIES = {
    "api_key": "sk-canary-client-0123456789",
    "organization": "org-canaryorganization",
    "project": "proj_canaryproject",
}
UPSTREAM_KEY = "sk-canary-upstream-0123456789"


def line(custom_id, text="Hi"):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}


class Upstream(App):
    """The service behind the proxy, which remembers how it was asked."""

    def __init__(self, backend):
        super().__init__(backend)
        self.asked = []

    def handle(self, request):
        self.asked.append(request)
        return super().handle(request)


@pytest.fixture
def service():
    answers = {"a": "four", "b": (400, {"error": {"message": "no: org-canaryorganization"}})}
    with_text = lambda request: answers.get(request.custom_id, "at once")  # noqa: E731
    return Upstream(FakeBackend(pacing="instant", responder=with_text))


@pytest.fixture
def cassette(tmp_path):
    return tmp_path / "cassette.jsonl"


@pytest.fixture
def proxy(service, cassette):
    """Starts the proxy before the service; a client of it."""
    opened = []

    def start(**options):
        upstream = running(service)
        recorder = RecordingProxy(f"{upstream.__enter__()}/v1", cassette, **options)
        front = running(recorder)
        client = openai.OpenAI(base_url=f"{front.__enter__()}/v1", max_retries=0, **CANARIES)
        opened.extend((client, front, recorder, upstream))
        return client

    yield start
    for each in opened:
        each.close() if hasattr(each, "close") else each.__exit__(None, None, None)


def run_batch(client, *lines):
    content = "".join(json.dumps(each) + "\n" for each in lines).encode()
    file = client.files.create(file=("input.jsonl", content), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    return client.batches.retrieve(batch.id)


def recorded_lines(cassette):
    return [json.loads(each) for each in cassette.read_bytes().splitlines()]


def test_a_batch_is_recorded_line_by_line_and_answers_other_batches(proxy, cassette):
    client = proxy()
    batch = run_batch(client, line("a", "2 + 2?"), line("b", "No?"))
    whole = client.files.content(batch.output_file_id).content
    client.files.content(batch.error_file_id)
    assert json.loads(whole)["response"]["body"]["choices"][0]["message"]["content"] == "four"
    first, second = recorded_lines(cassette)
    assert (first["custom_id"], first["url"], first["body"]) == (
        "a",
        CHAT,
        line("a", "2 + 2?")["body"],
    )
    assert second["response"]["status_code"] == 400

    fake = FakeBackend(pacing="instant", responder=cassette)
    replayed = run_batch(fake.openai_client(), line("other", "2 + 2?"), line("b", "No?"))
    answers = fake.openai_client().files.content(replayed.output_file_id).text
    assert json.loads(answers)["custom_id"] == "other"
    assert json.loads(answers)["response"]["body"] == json.loads(whole)["response"]["body"]
    assert replayed.request_counts.failed == 1


def test_what_is_answered_at_once_is_recorded_and_replayed(proxy, cassette):
    client = proxy()
    ask = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Now?"}]}
    said = client.chat.completions.create(**ask).choices[0].message.content
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**{**ask, "model": "nobody"})
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")
    assert [each["response"]["status_code"] for each in recorded_lines(cassette)] == [200, 404]
    fake = FakeBackend(responder=str(cassette))
    assert fake.openai_client().chat.completions.create(**ask).choices[0].message.content == said


def test_no_secret_is_written_or_logged(proxy, cassette, service, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx2")
    client = proxy(api_key=UPSTREAM_KEY)
    secret = f"My key is {CANARIES['api_key']}, Bearer abc.def.ghi, in {CANARIES['project']}."
    batch = run_batch(client, line("a", secret), line("b"))
    for file_id in (batch.output_file_id, batch.error_file_id):
        client.files.content(file_id)
    client.chat.completions.create(**line("", secret)["body"])
    written = cassette.read_text()
    assert REDACTED in written
    assert len(recorded_lines(cassette)) == 3
    ours = "".join(r.getMessage() for r in caplog.records if r.name.startswith("batchsim"))
    for canary in (*CANARIES.values(), UPSTREAM_KEY, "abc.def.ghi"):
        assert canary not in written
        assert canary not in ours
    assert {each.header("authorization") for each in service.asked} == {f"Bearer {UPSTREAM_KEY}"}
    fake = FakeBackend(
        responder=cassette
    )  # a request is found though a secret in it was struck out
    assert fake.openai_client().chat.completions.create(**line("", secret)["body"]).id


def test_the_clients_key_goes_upstream_when_there_is_no_other(proxy, service):
    proxy().files.list()
    (asked,) = service.asked
    assert asked.header("authorization") == f"Bearer {CANARIES['api_key']}"
    assert asked.header("openai-organization") == CANARIES["organization"]
    assert asked.header("cookie") is None


def test_results_whose_input_is_gone_are_told_by_their_custom_id(proxy, cassette):
    client = proxy()
    batch = run_batch(client, line("a"))
    client.files.delete(batch.input_file_id)
    client.files.content(batch.output_file_id)
    (only,) = recorded_lines(cassette)
    assert (only["custom_id"], "body" in only) == ("a", False)
    fake = FakeBackend(pacing="instant", responder=cassette)
    assert run_batch(fake.openai_client(), line("a", "Anything?")).request_counts.completed == 1


def test_what_is_not_on_the_cassette_names_what_is_nearest(cassette):
    answer = {"status_code": 200, "body": {"id": "x"}}
    entries = [
        {"custom_id": "a", "url": CHAT, "body": line("a", text)["body"], "response": answer}
        for text in ("2 + 2?", "3 + 3?")
    ]
    entries[1]["body"]["temperature"] = 1
    cassette.write_text("".join(json.dumps(each) + "\n" for each in entries))
    fake = FakeBackend(pacing="instant", responder=cassette)
    batch = run_batch(fake.openai_client(), line("b", "2 + 3?"))
    errors = json.loads(fake.openai_client().files.content(batch.error_file_id).text)
    assert errors["response"]["body"]["error"]["message"].endswith(
        "the cassette has no recording of this request; in the nearest, "
        'body.messages[0].content is "2 + 2?" instead of "2 + 3?"'
    )


@pytest.mark.parametrize("second", ['{"custom_id": "b"}', "[]", "{", '{"url": 1, "response": {}}'])
def test_a_line_that_is_no_recording_is_named(cassette, second):
    first = {"url": CHAT, "body": {}, "response": {"status_code": 200, "body": {}}}
    cassette.write_text(f"{json.dumps(first)}\n\n{second}\n")
    with pytest.raises(InputError) as refused:
        FakeBackend(responder=cassette)
    assert refused.value.place.endswith("cassette.jsonl:3")


def test_a_cassette_that_changes_is_not_believed(cassette):
    first = {"url": CHAT, "body": line("a")["body"], "response": {"status_code": 200, "body": {}}}
    cassette.write_text(json.dumps(first) + "\n")
    fake = FakeBackend(pacing="instant", responder=cassette)
    cassette.write_text("")
    batch = run_batch(fake.openai_client(), line("a"))
    assert "has changed since" in fake.openai_client().files.content(batch.error_file_id).text
    with pytest.raises(InputError, match="cannot be read"):
        Cassette(cassette.parent / "none.jsonl")


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        ("api.openai.com", "not a web address"),
        ("ftp://example.org", "not a web address"),
        ("http://me:secret@example.org/v1", "with a password"),
        ("http://169.254.169.254/latest", "this network segment only"),
    ],
)
def test_what_cannot_be_an_upstream_is_refused(cassette, upstream, words):
    with pytest.raises(UsageError, match=words) as refused:
        RecordingProxy(upstream, cassette)
    assert "secret" not in refused.value.message
    assert not cassette.exists()


def azure_client(kind, client):
    """Azure's own clients of that proxy: one for its older paths, one for `/openai/v1/`."""
    endpoint = str(client.base_url).removesuffix("/v1/")
    if kind == "deployments":
        return openai.AzureOpenAI(
            azure_endpoint=endpoint, api_version="2025-03-01-preview", **AZURE_KEY, max_retries=0
        )
    headers = {"api-key": AZURE_KEY["api_key"]}
    return openai.OpenAI(
        base_url=f"{endpoint}/openai/v1", default_headers=headers, **AZURE_KEY, max_retries=0
    )


AZURE_KEY = {"api_key": "azure-canary-0123456789"}


@pytest.mark.parametrize("kind", ["deployments", "v1"])
def test_azures_paths_are_recorded_and_answer_others(proxy, cassette, service, kind):
    azure = azure_client(kind, proxy(api_key=UPSTREAM_KEY))
    batch = run_batch(azure, line("a", "2 + 2?"), line("b", "No?"))
    azure.files.content(batch.output_file_id)
    ask = line("", "Now?")["body"]
    said = azure.chat.completions.create(**ask).choices[0].message.content
    first, second = recorded_lines(cassette)
    assert (first["custom_id"], first["body"]) == ("a", line("a", "2 + 2?")["body"])
    assert (second["url"], second["body"]) == (CHAT, ask)
    assert {each.header("api-key") for each in service.asked} == {UPSTREAM_KEY}
    assert all(AZURE_KEY["api_key"] not in str(each.headers) for each in service.asked)
    if kind == "deployments":
        assert all("api-version=2025" in each.query for each in service.asked)
    fake = FakeBackend(responder=cassette)
    for replayed in (fake.openai_client(), azure_client(kind, proxy())):
        assert replayed.chat.completions.create(**ask).choices[0].message.content == said


def test_a_deployment_stands_for_the_model_of_its_request(proxy, cassette):
    client = proxy()
    path = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=1"
    body = {"model": "whatever", "messages": line("", "Hi")["body"]["messages"]}
    url = str(client.base_url).removesuffix("/v1/") + path
    client.post(url, body=body, cast_to=object)
    assert recorded_lines(cassette)[0]["body"] == line("", "Hi")["body"]


@pytest.mark.usefixtures("environment_proxy")
def test_azures_paths_go_to_the_upstreams_own_host(cassette):
    for upstream in ("http://a.example", "http://a.example/openai/v1", "http://a.example/v1/"):
        recorder = RecordingProxy(upstream, cassette)
        recorder.handle(Request("GET", "/openai/files", query="api-version=1")).close()
        assert Proxy.asked.pop() == "http://a.example/openai/files?api-version=1"
        recorder.close()


def test_only_the_api_goes_upstream_and_the_proxy_finds_itself(cassette):
    recorder = RecordingProxy("http://127.0.0.1:9/v1", cassette)
    assert recorder.handle(Request("GET", "/admin")).status == 404
    for path in ("/v1/../admin", "/v1/%2e%2E/admin", "/openai/../admin", "/openai", "/v1/./files"):
        assert recorder.handle(Request("GET", path)).status == 404
    looped = Request("GET", "/v1/files", headers=(("x-batchsim-record", "1"),))
    assert recorder.handle(looped).status == 508 or recorder.handle(looped).status == 400
    assert recorder.handle(Request("GET", "/v1/files")).status == 503
    recorder.close()


def test_a_key_that_looks_like_none_is_struck_out_too(proxy, cassette):
    key = "0f9e8d7c6b5a43210f9e8d7c6b5a4321"
    client = proxy().with_options(api_key=key)
    client.chat.completions.create(**line("", f"My key is {key}.")["body"])
    assert f"My key is {REDACTED}." in cassette.read_text()


class Proxy(BaseHTTPRequestHandler):
    """A proxy that answers every request itself, and remembers what it was asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def environment_proxy(monkeypatch):
    """A proxy that the environment names, with a password; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        port = server.server_address[1]
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{port}")
        Proxy.asked.clear()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()
        thread.join()


def models_request():
    return Request(method="GET", path="/v1/models", query="a=b", headers=(), body=())


def test_the_upstream_is_reached_by_the_proxy_that_the_environment_names(
    environment_proxy, cassette
):
    recorder = RecordingProxy("http://upstream.invalid/v1", cassette)
    response = recorder.handle(models_request())
    assert (response.status, b"".join(response.body)) == (200, b"{}")
    response.close()
    assert Proxy.asked == ["http://upstream.invalid/v1/models?a=b"]
    assert recorder.proxy == environment_proxy
    recorder.close()


def test_this_machine_is_never_reached_by_a_proxy(environment_proxy, service, cassette):
    with running(service) as address:
        recorder = RecordingProxy(f"{address}/v1", cassette)
        response = recorder.handle(models_request())
        assert (response.status, len(service.asked)) == (401, 1)
        response.close()
        assert (Proxy.asked, recorder.proxy) == ([], None)
        recorder.close()


def test_a_proxy_that_is_none_is_refused_without_its_password(monkeypatch, cassette):
    monkeypatch.setenv("HTTPS_PROXY", "gopher://user:secret@proxy.invalid")
    with pytest.raises(UsageError, match="a proxy whose address is malformed") as refused:
        RecordingProxy("https://upstream.invalid/v1", cassette)
    assert "secret" not in f"{refused.value} {refused.value.hint}"


class Unruly(BaseHTTPRequestHandler):
    """An upstream that refuses a key by saying it, in headers that are none."""

    def do_GET(self):
        said = self.headers["Authorization"].encode()
        body = b'{"error": {"message": "' + b"x" * 70_000 + said + b'"}}'
        self.wfile.write(
            b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n"
            b"x-request-id: re\x01q\r\nopenai-version: \xe6\x97\xa5\r\nretry-after: "
            + said
            + b"\r\nopenai-processing-ms: 5\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        for at in range(0, len(body), 7_001):
            self.wfile.write(body[at : at + 7_001])
            self.wfile.flush()

    def log_message(self, *_):
        pass


@pytest.fixture
def unruly():
    with ThreadingHTTPServer(("127.0.0.1", 0), Unruly) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def test_a_refusal_that_says_the_proxys_own_key_does_not_tell_it_to_clients(
    unruly, cassette, caplog
):
    recorder = RecordingProxy(unruly, cassette, api_key=UPSTREAM_KEY)
    with running(recorder) as address, httpx.Client() as client:
        answer = client.get(f"{address}/v1/models", headers={"Authorization": "Bearer sk-any"})
    recorder.close()
    assert answer.status_code == 401
    assert answer.json()["error"]["message"].endswith(f"xBearer {REDACTED}")
    assert UPSTREAM_KEY not in answer.text + str(answer.headers)
    assert answer.headers["openai-processing-ms"] == "5"
    assert not {"x-request-id", "openai-version", "retry-after"} & set(answer.headers)
    assert not caplog.records
