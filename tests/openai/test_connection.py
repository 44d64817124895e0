"""How a client is made, over a real socket where only that tells the truth."""

import io
import socket

import pytest

from batchsim.backends.openai import OpenAIBackend
from batchsim.errors import (
    AuthenticationFailed,
    OutcomeUnknown,
    Refused,
    TransferBroken,
    Unavailable,
    UsageError,
)

pytestmark = pytest.mark.sdk

KEY = "sk-test-0123456789abcdef"
CALLS = {
    "create_batch": lambda backend: backend.create_batch(input_file_id="f", endpoint="/v1/x"),
    "upload_file": lambda backend: backend.upload_file(io.BytesIO(b"{}\n"), filename="a.jsonl"),
    "cancel_batch": lambda backend: backend.cancel_batch("batch_1"),
    "delete_file": lambda backend: backend.delete_file("file-1"),
    "list_batches": lambda backend: backend.list_batches(),
}


def answer(body, *, status="200 OK", length=None, extra=""):
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n"
    return head.encode() + body


BATCH = b'{"id": "batch_1", "object": "batch", "status": "validating"}'


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 20", answer(BATCH, length=1_000)], ids=["silence", "head", "body"]
)
def test_a_connection_that_breaks_is_not_tried_again(serving, name, sent, reset):
    with serving(sent, reset=reset) as (base_url, requests):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        with pytest.raises(Unavailable if name == "list_batches" else OutcomeUnknown):
            CALLS[name](backend)
        assert len(requests) == 1
        backend._client.close()


@pytest.mark.parametrize("status", ["409 Conflict", "429 Too Many", "500 Error", "408 Timeout"])
def test_rows_017_to_019_nothing_makes_the_sdk_send_twice(serving, status):
    extra = "x-should-retry: true\r\nretry-after: 0\r\n"
    with serving(answer(b"{}", status=status, extra=extra)) as (base_url, requests):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        with pytest.raises((OutcomeUnknown, Refused)):
            CALLS["create_batch"](backend)
        assert len(requests) == 1
        backend._client.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_redirect_never_reaches_the_other_host(serving, name):
    with serving(answer(BATCH)) as (elsewhere, strayed):
        extra = f"Location: {elsewhere}/batches\r\n"
        with serving(answer(b"", status="307 Moved", extra=extra)) as (base_url, requests):
            backend = OpenAIBackend(base_url=base_url, api_key=KEY)
            with pytest.raises(Refused, match="redirects"):
                CALLS[name](backend)
            assert (len(requests), len(strayed)) == (1, 0)
            backend._client.close()


def test_a_short_content_is_noticed(serving):
    with serving(answer(b"x" * 10, length=11)) as (base_url, _):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        with pytest.raises(TransferBroken, match="10"):
            list(backend.read_file("file-1"))
        backend._client.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_port_means_that_nothing_was_sent(name):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    backend = OpenAIBackend(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY)
    with pytest.raises(Unavailable, match="nothing was sent"):
        CALLS[name](backend)
    backend._client.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_service_without_tls_is_refused_unsent(serving, name):
    with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (base_url, _):
        pass
    backend = OpenAIBackend(base_url=base_url.replace("http:", "https:"), api_key=KEY)
    with pytest.raises(Unavailable, match="nothing was sent"):
        CALLS[name](backend)
    backend._client.close()


def test_the_key_may_come_from_the_environment_with_a_newline(serving, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with serving(answer(BATCH)) as (base_url, requests):
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        backend = OpenAIBackend()
        assert CALLS["create_batch"](backend).id == "batch_1"
        backend._client.close()
    assert f"Bearer {KEY}".encode() in requests[0]
    assert b"POST /v1/batches HTTP/1.1" in requests[0]


@pytest.mark.parametrize("key", [None, "", "  \n"])
def test_a_missing_key_says_where_to_put_it(key):
    with pytest.raises(AuthenticationFailed, match="no API key") as raised:
        OpenAIBackend(api_key=key)
    assert raised.value.hint == "export OPENAI_API_KEY=..."


@pytest.mark.parametrize("key", ["sk-\u202fbad", "sk-a\nb", "sk-a b", "sk-é"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(AuthenticationFailed) as raised:
        OpenAIBackend(api_key=key)
    assert key not in str(raised.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "api.openai.com/v1",
        "ftp://x/v1",
        "https://",
        "http://[::1/v1",
        "http://x:99999/v1",
        "/v1",
        "http://a b/v1",
    ],
)
def test_a_base_url_that_is_none_is_refused(base_url):
    with pytest.raises(UsageError, match="base URL"):
        OpenAIBackend(base_url=base_url, api_key=KEY)


def test_spaces_around_a_base_url_do_no_harm(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", " http://127.0.0.1:1/v1\n")
    backend = OpenAIBackend(api_key=KEY)
    assert backend.service == "http://127.0.0.1:1/v1/"
    backend._client.close()


def test_a_client_and_an_address_contradict_each_other():
    import openai

    client = openai.OpenAI(api_key=KEY)
    with pytest.raises(UsageError, match="either"):
        OpenAIBackend(client, base_url="https://service.invalid/v1")
    client.close()


def test_an_async_client_is_refused():
    import openai

    with pytest.raises(UsageError, match="AsyncOpenAI"):
        OpenAIBackend(openai.AsyncOpenAI(api_key=KEY))


def test_the_time_outs_are_set():
    backend = OpenAIBackend(base_url="https://service.invalid/v1", api_key=KEY)
    assert backend._client.max_retries == 0
    assert backend._client.timeout.connect == 5.0
    assert backend._client.timeout.pool == 5.0
    assert backend._client.timeout.read == 60.0
    assert backend._upload_timeout.read == 300.0
    backend._client.close()


def test_closing_leaves_a_client_of_the_callers_open():
    import openai

    own = OpenAIBackend(base_url="https://service.invalid/v1", api_key=KEY)
    own.close()
    assert own._client.is_closed()
    with openai.OpenAI(api_key=KEY, base_url="https://service.invalid/v1") as client:
        OpenAIBackend(client).close()
        assert not client.is_closed()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://example.com/v1", "would be sent in clear to example.com"),
        ("http://10.0.0.7:8000/v1", "would be sent in clear to 10.0.0.7"),
        ("https://user:secret@example.com/v1", "a user name or a password"),
    ],
)
def test_an_address_that_gives_the_key_away_is_refused(address, words) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        OpenAIBackend(base_url=address, api_key="sk-test")
    assert "secret" not in str(refused.value)


def test_a_network_of_ones_own_may_be_open(monkeypatch) -> None:
    monkeypatch.setenv("BATCHSIM_INSECURE", "1")
    OpenAIBackend(base_url="http://batchsim:8000/v1", api_key="sk-test").close()
