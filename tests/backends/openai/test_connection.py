"""How a client is made, over a real socket where only that tells the truth."""

import gzip
import importlib.util
import io
import socket
import zlib

import pytest

from batchsim.backends.openai import OpenAIBackend
from batchsim.backends.openai.connection import http_library
from batchsim.backends.openai.decompression import decoded
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
MORE_CALLS = {
    "read_file": lambda backend: list(backend.read_file("file-1")),
    "answer": lambda backend: backend.answer("/v1/embeddings", {"model": "m", "input": "x"}),
}


def http_answer(body, *, status="200 OK", length=None, extra=""):
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{extra}\r\n"
    return head.encode() + body


BATCH = b'{"id": "batch_1", "object": "batch", "status": "validating"}'


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 20", http_answer(BATCH, length=1_000)], ids=["silence", "head", "body"]
)
def test_a_connection_that_breaks_is_not_tried_again(serving_bytes, name, sent, reset):
    with serving_bytes(sent, reset=reset) as (base_url, requests):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        with pytest.raises(Unavailable if name == "list_batches" else OutcomeUnknown):
            CALLS[name](backend)
        assert len(requests) == 1
        backend.close()


@pytest.mark.parametrize("status", ["409 Conflict", "429 Too Many", "500 Error", "408 Timeout"])
def test_rows_017_to_019_nothing_makes_the_sdk_send_twice(serving_bytes, status):
    extra = "x-should-retry: true\r\nretry-after: 0\r\n"
    with serving_bytes(http_answer(b"{}", status=status, extra=extra)) as (base_url, requests):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        with pytest.raises((OutcomeUnknown, Refused)):
            CALLS["create_batch"](backend)
        assert len(requests) == 1
        backend.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", [*CALLS, "read_file", "answer"])
def test_a_redirect_never_reaches_the_other_host(serving_bytes, name, status):
    """Neither the request nor the key: a 303 says that the request was taken, the others not."""
    with serving_bytes(http_answer(BATCH)) as (elsewhere, strayed):
        extra = f"Location: {elsewhere}/batches\r\n"
        with serving_bytes(http_answer(b"", status=f"{status} Moved", extra=extra)) as (
            base_url,
            requests,
        ):
            backend = OpenAIBackend(base_url=base_url, api_key=KEY)
            writes = name not in ("list_batches", "read_file")
            taken = OutcomeUnknown if writes else Unavailable
            with pytest.raises(taken if status == 303 else Refused, match=r"303|redirects") as told:
                (CALLS | MORE_CALLS)[name](backend)
            assert KEY not in str(told.value)
            assert (len(requests), len(strayed)) == (1, 0)
            backend.close()


PACKED = gzip.compress(b'{"id": "batch_1", "object": "batch", "status": "validating"}\n', mtime=0)
ENCODED = {
    "gzip, whole": ("gzip", PACKED, True),
    "gzip, several": ("gzip", PACKED + PACKED, True),
    "gzip, empty": ("gzip", b"", True),
    "deflate": ("deflate", zlib.compress(gzip.decompress(PACKED)), True),
    "gzip, cut": ("gzip", PACKED[:-9], False),
    "gzip, without its checksum": ("gzip", PACKED[:-8], False),
    "gzip, a wrong checksum": ("gzip", PACKED[:-8] + bytes(8), False),
    "gzip, junk behind it": ("gzip", PACKED + b"junk", False),
    "gzip that is none": ("gzip", BATCH, False),
    "br": ("br", b"\x0b\x02\x80{}\n\x03", False),
    "zstd": ("zstd", b"(\xb5/\xfd\x04\x00\x19\x00\x00{}\n", False),
    "a word of its own": ("x-secret", BATCH, False),
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_row_128_a_file_in_an_encoding_nobody_asked_for_is_whole_or_broken(serving_bytes, encoding):
    name, content, is_whole = ENCODED[encoding]
    with serving_bytes(http_answer(content, extra=f"Content-Encoding: {name}\r\n")) as (
        base_url,
        _,
    ):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        if is_whole:
            members = content.count(PACKED) if name == "gzip" else 1
            assert b"".join(backend.read_file("file-1")) == members * gzip.decompress(PACKED)
        else:
            with pytest.raises(TransferBroken):
                list(backend.read_file("file-1"))
        backend.close()


UNREADABLE = ("gzip, a wrong checksum", "gzip that is none", "br", "zstd")


@pytest.mark.parametrize("encoding", UNREADABLE)
@pytest.mark.parametrize("name", CALLS)
def test_row_128_an_answer_that_cannot_be_decompressed_leaves_the_outcome_open(
    serving_bytes, name, encoding
):
    word, content, _ = ENCODED[encoding]
    with serving_bytes(http_answer(content, extra=f"Content-Encoding: {word}\r\n")) as (
        base_url,
        requests,
    ):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        with pytest.raises(Unavailable if name == "list_batches" else OutcomeUnknown):
            CALLS[name](backend)
        assert len(requests) == 1
        backend.close()


def test_row_128_a_bomb_is_taken_in_small_pieces():
    bomb = gzip.compress(bytes(64 << 20), mtime=0)
    headers = {"content-encoding": "gzip"}
    response = http_library().Response(200, content=iter([bomb]), headers=headers)
    sizes = [len(piece) for piece in decoded(response)]
    assert sum(sizes) == 64 << 20
    assert max(sizes) <= 1 << 20


def test_a_short_content_is_noticed(serving_bytes):
    with serving_bytes(http_answer(b"x" * 10, length=11)) as (base_url, _):
        backend = OpenAIBackend(base_url=base_url, api_key=KEY)
        with pytest.raises(TransferBroken, match="10"):
            list(backend.read_file("file-1"))
        backend.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_port_means_that_nothing_was_sent(name):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    backend = OpenAIBackend(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY)
    with pytest.raises(Unavailable, match="nothing was sent"):
        CALLS[name](backend)
    backend.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_service_without_tls_is_refused_unsent(serving_bytes, name):
    with serving_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (base_url, _):
        pass
    backend = OpenAIBackend(base_url=base_url.replace("http:", "https:"), api_key=KEY)
    with pytest.raises(Unavailable, match="nothing was sent"):
        CALLS[name](backend)
    backend.close()


def test_the_key_may_come_from_the_environment_with_a_newline(serving_bytes, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with serving_bytes(http_answer(BATCH)) as (base_url, requests):
        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        backend = OpenAIBackend()
        assert CALLS["create_batch"](backend).id == "batch_1"
        backend.close()
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
    backend.close()


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


def test_the_time_outs_are_set(made_clients, monkeypatch):
    backend = OpenAIBackend(base_url="https://service.invalid/v1", api_key=KEY)
    client = made_clients[-1]
    assert client.max_retries == 0
    assert (client.timeout.connect, client.timeout.pool, client.timeout.read) == (5.0, 5.0, 60.0)
    sent = []

    def post(path, *, options, **content):
        sent.append(options)
        raise ConnectionError

    monkeypatch.setattr(client, "post", post)
    with pytest.raises(OutcomeUnknown):
        backend.upload_file(io.BytesIO(b"{}"), filename="input.jsonl")
    assert sent[0]["timeout"].read == 300.0
    backend.close()


def test_closing_leaves_a_client_of_the_callers_open(made_clients):
    import openai

    OpenAIBackend(base_url="https://service.invalid/v1", api_key=KEY).close()
    assert made_clients[-1].is_closed()
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


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
ELSEWHERE = "http://service.invalid/v1"


@pytest.fixture
def no_proxies(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("BATCHSIM_INSECURE", "1")
    return monkeypatch


def proxy_at(address: str, user: str = "") -> str:
    """A proxy at the address of what is serving."""
    return address.removesuffix("/v1").replace("//", f"//{user}")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_row_113_a_proxy_is_heeded(serving_bytes, no_proxies, variable):
    with serving_bytes(http_answer(BATCH)) as (address, requests):
        no_proxies.setenv(variable, proxy_at(address, "user:secret@"))
        backend = OpenAIBackend(base_url=ELSEWHERE, api_key=KEY)
        assert CALLS["create_batch"](backend).id == "batch_1"
        assert requests[0].startswith(b"POST http://service.invalid/v1/batches HTTP/1.1")
        assert b"proxy-authorization: basic" in requests[0].lower()
        assert backend.proxy == proxy_at(address)
        backend.close()


def test_row_113_a_proxy_that_opens_no_way_got_neither_request_nor_key(serving_bytes, no_proxies):
    refusal = http_answer(b"no", status="403 Forbidden")
    with serving_bytes(refusal) as (address, requests):
        no_proxies.setenv("HTTPS_PROXY", proxy_at(address, "user:secret@"))
        backend = OpenAIBackend(base_url=ELSEWHERE.replace("http:", "https:"), api_key=KEY)
        with pytest.raises(Unavailable, match="403 Forbidden; nothing was sent") as told:
            CALLS["create_batch"](backend)
        assert requests[0].startswith(b"CONNECT service.invalid:443")
        assert KEY.encode() not in requests[0]
        assert "secret" not in str(told.value)
        backend.close()


@pytest.mark.parametrize(
    "exempt", ["service.invalid", ".invalid", "*", "a.example, service.invalid"]
)
def test_row_113_no_proxy_is_heeded(serving_bytes, no_proxies, exempt):
    with serving_bytes(http_answer(BATCH)) as (address, requests):
        no_proxies.setenv("HTTP_PROXY", proxy_at(address))
        no_proxies.setenv("NO_PROXY", exempt)
        backend = OpenAIBackend(base_url=ELSEWHERE, api_key=KEY)
        with pytest.raises(Unavailable, match="nothing was sent"):
            CALLS["create_batch"](backend)
        assert (requests, backend.proxy) == ([], None)
        backend.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_row_113_this_machine_is_never_reached_through_a_proxy(serving_bytes, no_proxies, host):
    with (
        serving_bytes(http_answer(b"no")) as (proxy, strayed),
        serving_bytes(http_answer(BATCH)) as (address, requests),
    ):
        no_proxies.setenv("ALL_PROXY", proxy_at(proxy))
        no_proxies.setenv("HTTP_PROXY", "socks5://proxy.invalid:1080")
        backend = OpenAIBackend(base_url=address.replace("127.0.0.1", host), api_key=KEY)
        assert CALLS["create_batch"](backend).id == "batch_1"
        assert (len(requests), strayed, backend.proxy) == (1, [], None)
        backend.close()


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://user:secret@proxy.invalid:1080", "SOCKS proxy, for which the package socksio"),
        ("gopher://user:secret@proxy.invalid", "a proxy whose address is malformed"),
        ("http://user:secret@proxy.invalid:port", "a proxy whose address is malformed"),
        ("http://[::1", "a proxy whose address is malformed"),
    ],
)
def test_row_113_a_proxy_that_cannot_be_used_is_told_without_its_password(no_proxies, proxy, words):
    if "socks" in proxy and importlib.util.find_spec("socksio"):
        pytest.skip("SOCKS proxies can be used here")
    no_proxies.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(UsageError, match=words) as told:
        OpenAIBackend(base_url="https://service.invalid/v1", api_key=KEY)
    assert "secret" not in f"{told.value} {told.value.hint}"
