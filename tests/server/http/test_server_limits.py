"""What one client may hold on to, and for how long; times here are real, and short."""

import errno
import json
import logging
import os
import socket
import threading
from contextlib import ExitStack

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.errors import TransferBroken
from batchsim.server.http.server_limits import ServerLimits
from batchsim.server.serve import running
from batchsim.wire import App, Response

HEAD = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n"
LARGE = 8 << 20


class Handler:
    """Reads the body, then answers as told."""

    def __init__(self, answer=None):
        self.answer = answer or (lambda request, size: ok(str(size).encode()))
        self.left = threading.Event()

    def handle(self, request):
        try:
            return self.answer(request, sum(map(len, request.body)))
        finally:
            self.left.set()


def ok(content):
    return Response(200, (("content-type", "text/plain"),), (content,))


class Pieces:
    """A body of the answer that tells when it was let go of."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)
        self.closed = threading.Event()

    def __iter__(self):
        return self.pieces

    def close(self):
        self.closed.set()


@pytest.fixture
def serve(client_of):
    """`serve(handler, limit=...)` -> a client of a server for this test only."""
    with ExitStack() as stack:

        def start(handler, **limits):
            return client_of(stack.enter_context(running(handler, limits=ServerLimits(**limits))))

        yield start


def status(answer):
    return int(answer.split(b" ", 2)[1])


def test_case_066_a_head_that_trickles_in_is_not_waited_for(serve):
    client = serve(Handler(), head_seconds=0.05)
    assert status(client.talk(HEAD)) == 408


def test_a_second_head_that_trickles_in_is_not_waited_for_either(serve, read_until_closed):
    client = serve(Handler(), head_seconds=0.05)
    with client.socket() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT")
        answers = read_until_closed(raw)
    assert answers.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in answers


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n\r\n"]
)
def test_case_066_a_connection_that_falls_silent_is_closed(serve, sent):
    client = serve(Handler(), idle_seconds=0.05, head_seconds=0.05)
    assert b"408" not in client.talk(sent)


@pytest.mark.parametrize("sent", [10, 2 << 20])
def test_case_066_a_body_that_does_not_come_is_not_waited_for(serve, sent):
    client = serve(App(FakeBackend()), idle_seconds=0.05)
    kind = b"Authorization: Bearer sk-a\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    form = client.form(bytes(LARGE))
    head = HEAD + kind + b"Content-Length: %d\r\n\r\n" % len(form)
    assert status(client.talk(head + form[:sent])) == 408


def test_case_101_one_connection_too_many_is_sent_away_politely(serve, read_until_closed):
    client = serve(Handler(), connections=2)
    with client.socket() as first, client.socket() as second:
        for each in (first, second):
            each.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert each.recv(12) == b"HTTP/1.1 200"
        with client.socket() as third:
            assert read_until_closed(third).startswith(b"HTTP/1.1 503")
    answers = (client.talk(b"GET / HTTP/1.0\r\n\r\n") for _ in range(100))
    assert any(answer.startswith(b"HTTP/1.1 200") for answer in answers)


def test_case_066_large_uploads_that_wait_keep_no_small_request_waiting(serve):
    client = serve(Handler(), uploads=1)
    with client.socket() as one, client.socket() as other:
        for each in (one, other):
            each.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % LARGE + b"x" * (2 << 20))
        assert client.send("GET", "/").content == b"0"
        for each in (one, other):
            each.sendall(b"x" * (LARGE - (2 << 20)))
            answer = each.recv(65_536)
            assert status(answer) == 200


@pytest.mark.parametrize("sent", [10, 3 << 20])
def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(serve, sent):
    outcome = []

    def answer(request, size):
        outcome.append(size)

    handler = Handler(answer)
    client = serve(handler)
    with client.socket() as raw:
        raw.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % LARGE + b"x" * sent)
        if sent > 1 << 20:
            raw.shutdown(socket.SHUT_WR)
    if sent > 1 << 20:
        assert handler.left.wait(10)
    assert (
        client.send("GET", "/").status == 500
    )  # the one that `answer` is asked for: it gives None
    assert outcome == [0]


def test_a_client_that_leaves_in_the_middle_of_an_answer_stops_it(serve):
    pieces = Pieces(bytes(1 << 20) for _ in range(100_000))
    client = serve(Handler(lambda *_: Response(200, (("content-length", "104857600000"),), pieces)))
    with client.socket() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw.recv(1 << 20)
    assert pieces.closed.wait(10)


def test_an_answer_that_breaks_breaks_the_connection(serve, read_until_closed):
    def broken():
        yield b"half"
        raise TransferBroken("the rest is gone")

    pieces = Pieces(broken())
    client = serve(Handler(lambda *_: Response(200, (("content-length", "8"),), pieces)))
    answer = client.talk(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nhalf")
    assert pieces.closed.wait(10)


@pytest.mark.parametrize(
    "rest", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\ngarbage\r\n\r\n"]
)
def test_a_refusal_does_not_get_into_another_answer(serve, rest, read_until_closed):
    go_on = threading.Event()

    def slowly():
        yield b"half"
        assert go_on.wait(10)
        yield b"half"

    client = serve(Handler(lambda *_: Response(200, (("content-length", "8"),), Pieces(slowly()))))
    with client.socket() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"half"):
            received += raw.recv(65_536)
        raw.sendall(rest)
        assert b"400" not in read_until_closed(raw)
        go_on.set()


def test_head_of_a_stream_reads_none_of_it(serve):
    pieces = Pieces(iter(()))
    pieces.pieces = None
    client = serve(Handler(lambda *_: Response(200, (("content-length", "8"),), pieces)))
    answer = client.send("HEAD", "/")
    assert (answer.status, answer.headers["content-length"]) == (200, "8")
    assert pieces.closed.wait(10)


def test_a_full_disk_is_told_in_words_and_is_no_traceback_in_the_log(serve, caplog):
    def fail(request, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/file-1")

    answer = serve(Handler(fail)).send("GET", "/v1/files")
    assert answer.status == 500
    assert os.strerror(errno.ENOSPC) in answer.json["error"]["message"]
    assert "data/file-1" not in answer.json["error"]["message"]
    (logged,) = caplog.records
    assert "data/file-1" in logged.message
    assert logged.exc_info is None


def test_a_crash_tells_the_client_a_request_id_and_the_log_all(serve, caplog):
    def crash(request, size):
        raise RuntimeError("the secret of the body")

    client = serve(Handler(crash))
    with caplog.at_level(logging.ERROR):
        first, second = client.send("GET", "/"), client.send("GET", "/")
    assert [first.status, second.status] == [500, 500]
    request_ids = [each.headers["x-request-id"] for each in (first, second)]
    assert len(set(request_ids)) == 2
    assert request_ids[0] in first.json["error"]["message"]
    assert b"secret" not in first.content
    assert set(first.json["error"]) == {"message", "type", "param", "code"}
    assert request_ids[0] in caplog.text
    assert "the secret of the body" in caplog.text


def test_stopping_lets_a_request_under_way_end(client_of):
    begun, go_on = threading.Event(), threading.Event()

    def slow(request, size):
        begun.set()
        assert go_on.wait(10)
        return ok(b"done")

    with ExitStack() as stack:
        server = ExitStack()
        client = client_of(server.enter_context(running(Handler(slow))))
        raw = stack.enter_context(client.socket())
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert begun.wait(10)
        stopping = threading.Thread(target=server.close)
        stopping.start()
        go_on.set()
        assert b"done" in raw.recv(65_536)
        stopping.join(10)
        assert not stopping.is_alive()


@pytest.mark.parametrize("sent", [10, 2 << 20])
def test_stopping_does_not_wait_for_a_client_that_sends_no_more(client_of, sent, caplog):
    begun, broken = threading.Event(), threading.Event()

    class Reader:
        def handle(self, request):
            body = iter(request.body)
            next(body)
            begun.set()
            try:
                next(body)
            finally:
                broken.set()

    with ExitStack() as stack:
        server = ExitStack()
        limits = ServerLimits(drain_seconds=1)
        client = client_of(server.enter_context(running(Reader(), limits=limits)))
        raw = stack.enter_context(client.socket())
        raw.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % LARGE + b"x" * sent)
        if sent > 1 << 20:
            assert begun.wait(10)
        server.close()
        assert broken.is_set() == begun.is_set()
    assert "1 connection was cut" in caplog.text
    with pytest.raises(ConnectionRefusedError):
        client.send("GET", "/")


def test_a_stopped_server_can_be_started_again_on_its_port():
    with running(Handler()) as address:
        port = int(address.rpartition(":")[2])
    with running(Handler(), port=port) as again:
        assert again == address


def test_localhost_is_served_on_all_of_its_addresses(client_of):
    with running(Handler(), host="localhost") as address:
        client = client_of(address)
        assert address.startswith("http://localhost:")
        for *_, place in socket.getaddrinfo("localhost", client.port, type=socket.SOCK_STREAM):
            with socket.create_connection(place[:2], timeout=10) as raw:
                raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert raw.recv(12) == b"HTTP/1.1 200"


def test_many_clients_at_once_are_answered(serve):
    client = serve(Handler())
    answers = []
    body = json.dumps({"x": "y" * 100_000})

    def work():
        answers.extend(client.send("POST", "/", body).content for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [str(len(body)).encode()] * 100


def test_only_reading_is_left_to_the_loop(serve):
    client = serve(Handler(lambda *_: ok(threading.current_thread().name.encode())))
    assert client.send("GET", "/").content.startswith(b"batchsim-request")
    head = client.send("HEAD", "/")
    assert (head.content, int(head.headers["content-length"]) > 0) == (b"", True)


def prompt(request, size):
    return ok(b"prompt")


def test_requests_sent_without_waiting_are_answered_in_order(serve, read_until_closed):
    """Also when hundreds wait in line behind a slow one: none is answered within another."""
    done = threading.Event()
    client = serve(
        Handler(
            lambda request, size: (
                ok(b"prompt") if request.path == "/prompt" else (done.wait(20), ok(b"slow"))[1]
            )
        )
    )
    prompt = b"GET /prompt HTTP/1.1\r\nHost: localhost\r\n"
    with client.socket() as raw:
        raw.sendall(prompt + b"\r\n" + b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw.sendall((prompt + b"\r\n") * 700 + prompt + b"Connection: close\r\n\r\n")
        assert b"prompt" in raw.recv(1 << 16)  # before the slow one is done
        done.set()
        received = read_until_closed(raw)
    bodies = [each.rpartition(b"\r\n\r\n")[2] for each in received.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"slow"] + [b"prompt"] * 701


def test_many_heads_that_come_together_are_not_one_that_is_too_large(serve, read_until_closed):
    """Some end in what comes next, as where a client sends without waiting: each is small."""
    client = serve(Handler(prompt), head_bytes=400, url_bytes=100)
    head = b"GET /prompt HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with client.socket() as raw:
        raw.sendall(head + head[:9])
        assert b"prompt" in raw.recv(1 << 16)  # so what follows comes in another piece
        raw.sendall(head[9:] + head * 20 + head[:9])
        received = b""
        while received.count(b"prompt") < 21:
            received += raw.recv(1 << 16)
            assert b"431" not in received
        raw.sendall(head[9:-2] + b"Connection: close\r\n\r\n")
        received += read_until_closed(raw)
    assert (received.count(b"200 OK"), received.count(b"431")) == (22, 0)


def test_a_head_in_pieces_must_end_in_time_also_after_one_that_came_whole(serve):
    client = serve(Handler(prompt), head_seconds=0.2)
    whole = b"GET /prompt HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert b"408" in client.talk(whole + b"GET /prompt HT").split(b"HTTP/1.1 ")[2]


def test_a_header_cannot_end_itself(serve, caplog):
    handler = Handler(lambda request, size: Response(200, (("x-evil", "a\r\nb: c"),), (b"",)))
    answer = serve(handler).send("GET", "/")
    assert answer.status == 500
    assert "b" not in {name.lower() for name in answer.headers}
