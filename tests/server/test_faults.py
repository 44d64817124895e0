"""Faults of requests on a real connection: what the bytes and the socket say."""

import socket

import pytest

from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.server.serve import running
from batchsim.wire import App

REQUEST = b"GET /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer sk-x\r\n\r\n"


@pytest.fixture
def bytes_sent_for():
    """Send one request to a fake with that fault; the bytes that come, and how it ends."""

    def send(fault):
        fake = FakeBackend(faults=Faults(requests=(fault,)))
        with running(App(fake)) as address:
            port = int(address.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
                raw.sendall(REQUEST)
                received = b""
                try:
                    while piece := raw.recv(1 << 16):
                        received += piece
                        if b"has_more" in received or b"</html>" in received:
                            return received, "answered"
                except ConnectionResetError:
                    return received, "reset"
                return received, "closed"

    return send


def test_without_a_hit_there_is_an_answer(bytes_sent_for):
    received, end = bytes_sent_for(RequestFault("reset", call="create_batch"))
    assert (received[:15], end) == (b"HTTP/1.1 200 OK", "answered")


@pytest.mark.parametrize("fault", ["reset", "unreachable"])
def test_a_reset_is_a_reset(bytes_sent_for, fault):
    assert bytes_sent_for(RequestFault(fault)) == (b"", "reset")


def test_a_lost_reply_is_a_connection_that_closes(bytes_sent_for):
    assert bytes_sent_for(RequestFault("reply_lost")) == (b"", "closed")


@pytest.mark.parametrize("at", [0, 1, 17])
def test_a_truncated_answer_announces_more_than_comes(bytes_sent_for, at):
    received, end = bytes_sent_for(RequestFault("truncated", at_byte=at))
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = [
        int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
    ]
    assert (len(body), length > at, end) == (at, True, "closed")


def test_a_page_of_the_edge_is_a_web_page(bytes_sent_for):
    received, _ = bytes_sent_for(RequestFault("error", status=502, html=True, retry_after="soon"))
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"content-type: text/html; charset=UTF-8" in head
    assert b"retry-after: soon" in head
    assert b"<h1>502 Bad Gateway</h1>" in body
