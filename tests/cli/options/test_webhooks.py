"""`run --webhook-port`: word of an ended batch comes in, verified, and the runner looks at once."""

import http.client
import socket
import threading

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.clock import SystemClock, VirtualClock
from batchsim.errors import UsageError
from batchsim.runner.policy import Policy, Polling
from batchsim.runner.run import run
from batchsim.runner.webhook_notices import MOST, Notices
from batchsim.server.webhook_receiver import LONGEST_BODY, receive_webhooks
from batchsim.wire.webhook_events import TOLERANCE, event, sign, verify
from tests.repository import DEMO_INPUT

SECRET = "whsec_c2VjcmV0"
NOW = 1_767_225_600
BODY = b'{"type": "batch.completed", "data": {"id": "batch_1"}}'


def signed_headers(body: bytes = BODY, *, at: int = NOW, secret: str = SECRET) -> dict[str, str]:
    return {
        "webhook-id": "wh_1",
        "webhook-timestamp": str(at),
        "webhook-signature": sign(secret, "wh_1", at, body),
    }


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"webhook-signature": "v1,AAAA " + signed_headers()["webhook-signature"]}, True),
        ({"webhook-signature": ""}, False),
        ({"webhook-signature": "v1,AAAA"}, False),
        ({"webhook-signature": signed_headers()["webhook-signature"].replace("v1,", "v2,")}, False),
        ({"webhook-signature": "v1,\u00fc"}, False),
        ({"webhook-id": "wh_2"}, False),
        ({"webhook-id": ""}, False),
        ({"webhook-timestamp": str(NOW + 1)}, False),
        ({"webhook-timestamp": "soon"}, False),
        ({"webhook-timestamp": "-1"}, False),
        ({"webhook-timestamp": "9" * 5_000}, False),
        ({"webhook-timestamp": "\u0661"}, False),
        (signed_headers(at=NOW - int(TOLERANCE)), True),
        (signed_headers(at=NOW - int(TOLERANCE) - 1), False),
        (signed_headers(at=NOW + int(TOLERANCE) + 1), False),
        (signed_headers(secret="whsec_b3RoZXI="), False),
        (signed_headers(b"another body"), False),
    ],
    ids=str,
)
def test_only_what_was_signed_lately_with_our_secret_is_believed(changes, is_good) -> None:
    assert verify(SECRET, {**signed_headers(), **changes}, BODY, NOW) is is_good


def test_the_official_client_signs_and_checks_alike() -> None:
    openai = pytest.importorskip("openai")
    webhooks = getattr(openai.OpenAI(api_key="sk-x"), "webhooks", None)
    if webhooks is None:
        pytest.skip("this release of openai has no webhooks")
    now = int(SystemClock().now())
    webhooks.verify_signature(BODY.decode(), signed_headers(at=now), secret=SECRET)


@pytest.fixture
def port():
    """A receiver, and what it passed on."""
    given: list[str] = []
    with receive_webhooks(SECRET, given.append, now=lambda: NOW) as address:
        yield address, given


def post_webhook(address: str, body: bytes = BODY, headers=None, method: str = "POST") -> int:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.request(method, "/", body, signed_headers(body) if headers is None else headers)
    answer = connection.getresponse()
    assert answer.read() in (b"",) or method != "POST"
    connection.close()
    return answer.status


def test_an_event_of_a_batch_is_passed_on(port) -> None:
    address, given = port
    assert post_webhook(address) == 200
    assert given == ["batch_1"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "response.completed", "data": {"id": "resp_1"}}',
        b'{"type": "batch.completed", "data": {"id": 3}}',
        b'{"type": "batch.completed"}',
        b'{"type": 1, "data": {"id": "batch_1"}}',
        b"[]",
        b"no JSON",
        b"",
    ],
    ids=str,
)
def test_other_events_are_taken_and_dropped(port, body) -> None:
    address, given = port
    assert post_webhook(address, body) == 200
    assert given == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({**signed_headers(), "webhook-signature": "v1,AAAA"}, 400),
        ({**signed_headers(), "content-length": str(LONGEST_BODY + 1)}, 413),
        ({**signed_headers(), "content-length": "9" * 30}, 413),
        ({**signed_headers(), "content-length": "-1"}, 411),
        ({**signed_headers(), "transfer-encoding": "chunked"}, 411),
    ],
    ids=str,
)
def test_what_is_not_believed_is_refused_without_a_word(port, headers, status) -> None:
    address, given = port
    assert post_webhook(address, headers=headers) == status
    assert given == []


def test_other_methods_are_refused(port) -> None:
    address, given = port
    assert post_webhook(address, method="GET") == 501
    assert given == []


def test_connections_that_say_nothing_do_not_stop_others(port) -> None:
    address, _ = port
    host, number = address.removeprefix("http://").split(":")
    idle = [socket.create_connection((host, int(number))) for _ in range(8)]
    assert post_webhook(address) == 200
    for each in idle:
        each.close()


def test_a_port_in_use_and_a_secret_that_is_none_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        receiver = receive_webhooks(SECRET, print, now=lambda: 0, port=number)
        with pytest.raises(UsageError, match="cannot listen"):
            receiver.__enter__()
    with pytest.raises(UsageError, match="secret"):
        receive_webhooks("nonsense", print, now=lambda: 0).__enter__()


def test_a_waiting_clock_is_woken_and_waits_again() -> None:
    notices = Notices()
    clock = notices.waking(SystemClock())
    threading.Timer(0.01, notices.give, ["batch_1"]).start()
    clock.sleep(30)
    assert notices.take() == {"batch_1"}
    assert notices.take() == set()
    clock.sleep(0.001)
    assert abs(clock.now() - SystemClock().now()) < 60


def test_a_flood_of_notices_is_bounded() -> None:
    notices = Notices()
    for number in range(MOST + 5):
        notices.give(str(number))
    assert len(notices.take()) == MOST


def test_a_notice_brings_the_next_look_forward_and_polling_stays(tmp_path) -> None:
    """Looks are an hour apart; word comes when the batch has ended, and the runner looks then."""

    def elapsed(*, tells: bool) -> float:
        notices = Notices()

        class Telling(VirtualClock):
            def sleep(self, seconds: float) -> None:
                step = min(seconds, 60.0)
                super().sleep(step)
                for batch in fake.undisturbed.list_batches().data if tells else ():
                    if batch.status.is_terminal:
                        assert event(batch)
                        notices.give(batch.id)
                        notices.give("batch_of_somebody_else")

        fake = FakeBackend(clock=Telling())
        report = run(
            DEMO_INPUT,
            fake,
            results=tmp_path / f"results-{tells}.jsonl",
            policy=Policy(polling=Polling(first=3_600, slowest=3_600)),
            notices=notices,
        )
        fake.close()
        assert report.all_ok
        return report.seconds

    assert elapsed(tells=True) < 300
    assert elapsed(tells=False) >= 3_600


def test_run_receives_webhooks_only_for_a_real_service_and_with_a_secret(
    batchsim, real, monkeypatch
) -> None:
    command = (str(DEMO_INPUT), "-o", "results.jsonl", "--webhook-port", "0")
    monkeypatch.delenv("OPENAI_WEBHOOK_SECRET", raising=False)
    fake = batchsim("run", "--fake", *command)
    assert (fake.code, "sends no webhooks" in fake.stderr) == (2, True)
    unsigned = batchsim("run", "--real", *command)
    assert (unsigned.code, "export OPENAI_WEBHOOK_SECRET" in unsigned.stderr) == (2, True)
    assert real.list_files().data == ()
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr(Notices, "waking", lambda self, clock: clock)
    received = batchsim("run", "--real", *command)
    assert received.code == 0
    assert "webhooks are received on http://127.0.0.1:" in received.stderr
    assert SECRET not in received.stderr


def test_adopt_receives_webhooks_too(batchsim, real, monkeypatch) -> None:
    with DEMO_INPUT.open("rb") as stream:
        theirs = real.upload_file(stream, filename="theirs.jsonl")
    batch = real.create_batch(input_file_id=theirs.id, endpoint="/v1/chat/completions")
    command = (batch.id, "-o", "results.jsonl", "--webhook-port", "0")
    monkeypatch.delenv("OPENAI_WEBHOOK_SECRET", raising=False)
    fake = batchsim("adopt", "--fake", *command)
    assert (fake.code, "sends no webhooks" in fake.stderr) == (2, True)
    unsigned = batchsim("adopt", "--real", *command)
    assert (unsigned.code, "export OPENAI_WEBHOOK_SECRET" in unsigned.stderr) == (2, True)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", SECRET)
    waking = []
    monkeypatch.setattr(Notices, "waking", lambda self, clock: waking.append(self) or clock)
    taken = []
    monkeypatch.setattr(Notices, "take", lambda self: taken.append(self) or set())
    received = batchsim("adopt", "--real", *command)
    assert received.code == 0, received.stderr
    assert "webhooks are received on http://127.0.0.1:" in received.stderr
    assert {*waking} == {*taken} != set(), "the runner asks the notices that the port gives"
