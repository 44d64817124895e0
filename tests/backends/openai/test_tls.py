"""Row 130: a service whose certificate does not hold gets no request and no key."""

import datetime as dt
import ssl
import warnings
from contextlib import contextmanager

import pytest
import trustme

from batchsim.backends.openai import OpenAIBackend
from batchsim.cli import main
from batchsim.clock import VirtualClock
from batchsim.errors import JobIncomplete, Unavailable
from batchsim.runner.run import run

pytestmark = pytest.mark.sdk

KEY = "sk-test-0123456789abcdef"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\nConnection: close\r\n\r\n{"object": "list", "data": []}\n'
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate authority that this machine trusts."""
    trusted = trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return trusted


@pytest.fixture
def serving_bytes(listening_port):
    """A port with a certificate; the requests that came through, and failed handshakes."""

    @contextmanager
    def secured(certificate, *, newest=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if newest is not None:
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings(action="ignore"):  # it is deprecated: that is the point
                context.minimum_version = context.maximum_version = newest
        certificate.configure_cert(context)
        told = []
        with listening_port(lambda connection: told.append(_answer(context, connection))) as port:
            yield f"https://127.0.0.1:{port}/v1", told

    return secured


def _answer(context, connection):
    try:
        with context.wrap_socket(connection, server_side=True) as secured:
            request = secured.recv(65_536)
            if request:
                secured.sendall(ANSWER)
            return request
    except OSError:
        return b""


def expired(authority):
    return authority.issue_cert("127.0.0.1", not_before=PAST, not_after=PAST.replace(year=2021))


REFUSED = {
    "expired": (expired, "certificate has expired"),
    "wrong host": (
        lambda authority: authority.issue_cert("api.openai.com"),
        "certificate is not valid for '127.0.0.1'",
    ),
    "self-signed": (
        lambda _: trustme.CA().issue_cert("127.0.0.1"),
        "unable to get local issuer certificate",
    ),
}


def create(backend):
    backend.create_batch(input_file_id="file-1", endpoint="/v1/x")


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("ask", [create, OpenAIBackend.list_batches])
def test_row_130_a_certificate_that_does_not_hold_is_told_and_nothing_is_sent(
    serving_bytes, authority, case, ask
):
    make, words = REFUSED[case]
    with serving_bytes(make(authority)) as (address, requests):
        backend = OpenAIBackend(base_url=address, api_key=KEY)
        with pytest.raises(Unavailable, match="certificate does not hold") as told:
            ask(backend)
        backend.close()
    assert words in told.value.message
    assert told.value.message.endswith("; nothing was sent")
    assert "SSL_CERT_FILE" in told.value.hint
    assert requests == [b""]


def test_row_130_an_old_protocol_is_refused(serving_bytes, authority):
    certificate = authority.issue_cert("127.0.0.1")
    with serving_bytes(certificate, newest=ssl.TLSVersion.TLSv1_1) as (address, requests):
        backend = OpenAIBackend(base_url=address, api_key=KEY)
        with pytest.raises(Unavailable, match="nothing was sent"):
            backend.list_batches()
        backend.close()
    assert requests == [b""]


def test_row_130_a_job_asks_for_an_hour_and_ends_where_the_same_command_goes_on(
    serving_bytes, authority, tmp_path
):
    """A certificate may be mended, and a network that asks for a log-in may let one through."""
    with serving_bytes(expired(authority)) as (address, requests):
        backend = OpenAIBackend(base_url=address, api_key=KEY, clock=VirtualClock())
        start = backend.clock.now()
        with pytest.raises(JobIncomplete, match="certificate has expired"):
            run(
                [
                    {
                        "custom_id": "a",
                        "method": "POST",
                        "url": "/v1/embeddings",
                        "body": {"model": "text-embedding-3-small", "input": "x"},
                    }
                ],
                backend,
                results=tmp_path / "results.jsonl",
            )
        backend.close()
        assert 3_600 <= backend.clock.now() - start < 2 * 3_600
    assert set(requests) == {b""}


def test_row_130_a_command_ends_with_one_message(serving_bytes, authority, monkeypatch, capsys):
    with serving_bytes(expired(authority)) as (address, requests):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setattr("sys.argv", ["batchsim", "batches", "list", "--base-url", address])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 75
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in told] == ["error", "hint"]
    assert requests == [b""]


def test_a_certificate_that_holds_is_taken(serving_bytes, authority):
    with serving_bytes(authority.issue_cert("127.0.0.1")) as (address, requests):
        backend = OpenAIBackend(base_url=address, api_key=KEY)
        assert backend.list_batches().data == ()
        backend.close()
    assert requests[0].startswith(b"GET /v1/batches")
