"""Ended batches are told to those who want to know, until they have heard it."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.clock import SystemClock, VirtualClock
from batchsim.errors import UsageError
from batchsim.server.webhook_sender import WebhookSender, post_once

SECRET = "whsec_dGhlIHNlY3JldCBvZiBhbGwgdGVzdHM="
URL = "http://127.0.0.1:9/hook"


class Receiver:
    """Notes what is posted to it, and answers with these statuses in turn, then with 200."""

    def __init__(self, *statuses):
        self.statuses = iter(statuses)
        self.posted = []

    def post(self, url, headers, body):
        self.posted.append((url, dict(headers), body))
        status = next(self.statuses, 200)
        if isinstance(status, Exception):
            raise status
        return status


class Round:
    """A courier whose time passes when it is told to."""

    def __init__(self, receiver, *urls, backend=None):
        self.backend = backend or FakeBackend(pacing="instant")
        self.clock = VirtualClock()
        self.receiver = receiver
        self.courier = WebhookSender(
            self.backend.take_ended, urls or [URL], SECRET, clock=self.clock, post=receiver.post
        )

    def end_a_batch(self):
        self.backend.upload_file(io.BytesIO(b"{}\n"), filename="a.jsonl")
        return self.backend.create_batch(input_file_id="file-x", endpoint="/v1/embeddings").id

    def pass_time(self, seconds=0.0):
        self.clock.advance(seconds)
        self.courier.deliver_due()
        return len(self.receiver.posted)


def test_a_batch_that_ends_is_told_once():
    turn = Round(Receiver())
    assert turn.pass_time() == 0
    batch = turn.end_a_batch()
    assert [turn.pass_time(), turn.pass_time(3_600)] == [1, 1]
    ((url, headers, body),) = turn.receiver.posted
    event = json.loads(body)
    assert (url, event["type"], event["data"]) == (URL, "batch.failed", {"id": batch})
    assert headers["webhook-id"] == event["id"]
    assert headers["webhook-timestamp"] == str(int(turn.clock.now()) - 3_600)
    assert headers["content-type"] == "application/json"


def test_every_url_is_told():
    turn = Round(Receiver(), URL, URL + "/other")
    turn.end_a_batch()
    turn.pass_time()
    assert sorted(url for url, _, _ in turn.receiver.posted) == [URL, URL + "/other"]


@pytest.mark.parametrize(
    "failure", [500, 404, 302, 300, 199, ConnectionRefusedError(), TimeoutError()]
)
def test_row_145_what_is_not_heard_is_told_again_under_the_same_id(failure):
    turn = Round(Receiver(failure))
    turn.end_a_batch()
    assert [turn.pass_time(), turn.pass_time(0.5), turn.pass_time(0.5)] == [1, 1, 2]
    assert turn.pass_time(86_400) == 2
    first, second = (headers for _, headers, _ in turn.receiver.posted)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) == int(first["webhook-timestamp"]) + 1
    assert first["webhook-signature"] != second["webhook-signature"]
    assert turn.receiver.posted[0][2] == turn.receiver.posted[1][2]


def test_row_145_pauses_double_up_to_an_hour_for_72_hours():
    turn = Round(Receiver(*[503] * 1_000))
    turn.end_a_batch()
    turn.pass_time()
    pauses, passed = [], 0
    heard, waited = 1, 0
    while passed < 80 * 3_600:
        step = 1 if len(pauses) < 13 else 60
        waited, passed = waited + step, passed + step
        count = turn.pass_time(step)
        if count > heard:
            pauses.append(waited)
            heard, waited = count, 0
    assert pauses[:13] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 3_600]
    assert set(pauses[13:]) == {3_600}
    assert 72 * 3_600 <= sum(pauses) < 73 * 3_600


def test_one_url_that_does_not_hear_keeps_no_other_from_hearing():
    turn = Round(Receiver(500, 200), URL, URL + "/other")
    turn.end_a_batch()
    assert turn.pass_time() == 2
    assert turn.pass_time(1) == 3


@pytest.mark.parametrize(
    "url", ["", "example.com", "ftp://example.com", "http://", "http://[", "http://a:x"]
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(UsageError, match="no URL that webhooks can go to"):
        WebhookSender(tuple, [url], SECRET)


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_?"])
def test_what_is_no_secret_is_refused_at_once(secret):
    with pytest.raises(UsageError, match="secret"):
        WebhookSender(tuple, [URL], secret)


@pytest.fixture
def listener():
    """A receiver on a real port; answers with `statuses` in turn, then with 204."""
    heard, statuses = [], []
    enough = threading.Semaphore(0)

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            heard.append((self.path, dict(self.headers), body))
            self.send_response(statuses.pop(0) if statuses else 204)
            self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()
            enough.release()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    server.heard, server.statuses, server.enough = heard, statuses, enough
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_redirect_is_followed(listener):
    listener.statuses.append(302)
    url = f"http://127.0.0.1:{listener.server_port}/hook?a=b"
    assert post_once(url, {"webhook-id": "x"}, b"{}") == 302
    ((path, headers, body),) = listener.heard
    assert (path, headers["webhook-id"], body) == ("/hook?a=b", "x", b"{}")


@pytest.mark.sdk
def test_row_144_the_official_client_accepts_what_is_delivered(listener):
    openai = pytest.importorskip("openai")
    client = (
        openai.OpenAI(api_key="sk-any", webhook_secret=SECRET) if _knows_webhooks(openai) else None
    )
    if client is None:
        pytest.skip("this release of the SDK knows no webhooks")
    backend = FakeBackend(pacing="instant", clock=SystemClock())
    url = f"http://127.0.0.1:{listener.server_port}/hook"
    with WebhookSender(backend.take_ended, [url], SECRET):
        batch = backend.create_batch(input_file_id="file-x", endpoint="/v1/embeddings")
        assert listener.enough.acquire(timeout=20)
    ((_, headers, body),) = listener.heard
    event = client.webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("batch.failed", batch.id)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body.replace(b"batch_", b"batch-"), headers)


def _knows_webhooks(openai):
    return hasattr(openai, "InvalidWebhookSignatureError")
