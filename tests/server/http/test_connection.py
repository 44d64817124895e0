"""One connection on which a client sends request after request, as one that polls does."""

import asyncio
import http.client
import json
import threading
from contextlib import ExitStack
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from batchsim.clock import VirtualClock
from batchsim.server.control_api import ControlApi
from batchsim.server.fakes_by_key import FakesByKey
from batchsim.server.http.connection import HttpConnection
from batchsim.server.http.open_connections import OpenConnections
from batchsim.server.http.request_guard import Guard
from batchsim.server.http.server_limits import ServerLimits
from batchsim.server.serve import running
from batchsim.wire import App, Response

POLL = b"GET /poll HTTP/1.1\r\nHost: localhost\r\n\r\n"
CRASH = 666
DRAWN = {"x-request-id", "openai-processing-ms", "date", "content-length"}


class Counting:
    """Answers polls with a number each, everything else when it is let."""

    def __init__(self):
        self.given = 0
        self.is_let = threading.Event()
        self.is_let.set()

    def handle(self, request):
        if request.path == "/poll":
            self.given += 1
            if self.given == CRASH:
                raise ValueError
            return ok(b"poll %d" % self.given)
        size = sum(map(len, request.body))
        self.is_let.wait(20)
        return ok(b"%s, %d bytes" % (request.path.encode(), size))


def ok(content):
    return Response(200, (("content-type", "text/plain"),), (content,))


@pytest.fixture
def counting():
    return Counting()


class Line:
    """A connection whose answers are read one by one."""

    def __init__(self, raw):
        self.raw = raw
        self.received = b""

    def ask(self, *packets):
        """Send each by itself; the body of the next answer."""
        for packet in packets:
            self.raw.sendall(packet)
        return self.answer()

    def answer(self):
        while b"\r\n\r\n" not in self.received:
            self.read()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(self.received) < length:
            self.read()
        body, self.received = self.received[:length], self.received[length:]
        return body

    def read(self):
        piece = self.raw.recv(1 << 16)
        assert piece, "the connection was closed"
        self.received += piece

    def is_closed(self):
        return self.received == b"" and self.raw.recv(1) == b""


@pytest.fixture
def line_to(client_of):
    """`line_to(handler, limit=...)` -> a connection to a server of its own."""
    with ExitStack() as stack:

        def connect(handler, **limits):
            limits = ServerLimits(**limits)
            client = client_of(stack.enter_context(running(handler, limits=limits)))
            return Line(stack.enter_context(client.socket()))

        yield connect


@pytest.fixture
def line(line_to, counting):
    return line_to(counting)


def test_each_poll_is_answered(line):
    assert [line.ask(POLL) for _ in range(3)] == [b"poll 1", b"poll 2", b"poll 3"]


def test_a_body_that_reads_like_a_poll_is_a_body(line):
    assert line.ask(POLL) == b"poll 1"
    head = b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    expected = b"/other, %d bytes" % (2 * len(POLL))
    assert line.ask(head % (2 * len(POLL)), POLL, POLL) == expected
    assert line.ask(POLL) == b"poll 2"


def test_two_in_one_packet_are_two(line):
    for numbers in ((1, 2), (3, 4)):
        first, second = line.ask(POLL + POLL), line.answer()
        assert (first, second) == tuple(b"poll %d" % number for number in numbers)


def test_one_in_pieces_is_read(line):
    assert line.ask(POLL) == b"poll 1"
    assert line.ask(POLL[:9], POLL[9:30], POLL[30:]) == b"poll 2"
    assert line.ask(POLL[:9], POLL[9:] + POLL[:9]) == b"poll 3"
    assert line.ask(POLL[9:]) == b"poll 4"
    assert line.ask(POLL) == b"poll 5"


def test_the_end_of_one_and_a_whole_one_are_no_request(line):
    end = POLL[9:] + POLL
    assert [line.ask(POLL[:9], end), line.answer()] == [b"poll 1", b"poll 2"]
    assert b"Invalid HTTP request" in line.ask(end)


def test_a_head_that_holds_another_is_a_head(line):
    assert line.ask(POLL) == b"poll 1"
    begun = b"GET /other HTTP/1.1\r\nHost: localhost\r\nX-Nested: "
    assert b"exactly one Host" in line.ask(begun, POLL)


def test_what_waits_in_line_keeps_its_place(line, counting):
    assert line.ask(POLL) == b"poll 1"
    counting.is_let.clear()
    line.raw.sendall(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n" + POLL)
    counting.is_let.set()
    assert [line.answer(), line.answer()] == [b"/other, 0 bytes", b"poll 2"]


def test_another_host_is_not_answered_to_after_one_that_is(line, counting):
    line.ask(POLL)
    evil = POLL.replace(b"localhost", b"evil.example")
    for _ in range(2):
        assert b"does not answer to the host" in line.ask(evil)
    assert counting.given == 1


def test_a_crash_is_an_answer_and_the_connection_goes_on(line, counting, caplog):
    line.ask(POLL)
    counting.given = CRASH - 1
    assert b"server_error" in line.ask(POLL)
    assert line.ask(POLL) == b"poll %d" % (CRASH + 1)


@pytest.mark.parametrize(
    "last",
    [
        POLL[:-2] + b"Connection: close\r\n\r\n",
        POLL.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_the_last_request_of_a_connection_is_the_last(line, last):
    line.ask(POLL)
    assert line.ask(last) == b"poll 2"
    assert line.is_closed()


def test_a_client_that_does_not_read_gets_no_answers_to_keep():
    started = []
    threads = SimpleNamespace(start=lambda request, answer, is_large: started.append(request.path))
    transport = Mock(asyncio.Transport, **{"is_closing.return_value": False})
    transport.get_extra_info.return_value = ("127.0.0.1", 1)

    async def poll():
        limits = ServerLimits()
        connection = HttpConnection(OpenConnections(threads, Guard(limits), limits))
        connection.connection_made(transport)
        connection.pause_writing()
        connection.data_received(POLL)
        assert started == []
        connection.resume_writing()
        assert started == ["/poll"]

    asyncio.run(poll())


@pytest.mark.parametrize("between", [b"", b"\r\n"])
def test_a_connection_that_falls_silent_after_polls_is_closed(line_to, counting, between):
    """Also when a line that means nothing came last."""
    line = line_to(counting, idle_seconds=0.5)
    assert line.ask(POLL) == b"poll 1"
    assert line.ask(between, POLL) == b"poll 2"
    assert line.is_closed()


class Poller:
    """Looks at things over one connection; every request of a path is the same, byte for byte."""

    def __init__(self, address, key="sk-any"):
        self.connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path):
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        return response.status, dict(response.headers), json.loads(response.read())


@pytest.fixture
def serving(client_of):
    """`serving(**options)` -> the fakes, and a poller and a client of their server."""
    with ExitStack() as stack:

        def start(**options):
            fakes = FakesByKey(seed=1, clock=VirtualClock(), **options)
            stack.callback(fakes.close)
            address = stack.enter_context(running(ControlApi(fakes, App(fakes.tenants))))
            poller = Poller(address)
            stack.callback(poller.connection.close)
            return fakes, poller, client_of(address)

        yield start


def create(client, line):
    file = client.upload(line).json
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions"}
    asked["completion_window"] = "24h"
    return client.send_json("POST", "/v1/batches", asked).json


def test_every_poll_shows_the_batch_as_it_is_and_is_noted(serving, chat_line):
    fakes, poller, client = serving(pacing="2024")
    batch = create(client, chat_line())
    (backend,) = fakes.backends().values()
    before, seen, ids, shapes = backend.requests.count, [], set(), set()
    for _ in range(1_000):
        for _ in range(2):
            status, headers, shown = poller.get(f"/v1/batches/{batch['id']}")
            assert (status, shown) == (
                200,
                backend.undisturbed.retrieve_batch(batch["id"]).to_object(),
            )
            seen.append(shown["status"])
            ids.add(headers["x-request-id"])
            shapes.add((tuple(headers), *(v for k, v in headers.items() if k not in DRAWN)))
        if shown["status"] == "completed":
            break
        fakes.clock.advance(1)
    assert list(dict.fromkeys(seen)) == ["validating", "in_progress", "finalizing", "completed"]
    assert len(ids) == len(seen) == backend.requests.count - before
    assert len(shapes) == 1  # the same headers by whatever way it was answered


def test_what_is_deleted_cancelled_or_forgotten_is_seen_at_once(serving, chat_line):
    _, poller, client = serving(pacing="2024")
    batch = create(client, chat_line())
    file_path = f"/v1/files/{batch['input_file_id']}"
    batch_path = f"/v1/batches/{batch['id']}"
    for _ in range(2):
        assert poller.get(batch_path)[2]["status"] == "validating"
        assert poller.get(file_path)[0] == 200
    client.send("POST", f"{batch_path}/cancel")
    client.send("DELETE", file_path)
    assert poller.get(batch_path)[2]["status"] in ("cancelling", "cancelled")
    assert poller.get(file_path)[0] == 404
    client.send("POST", "/_batchsim/reset")
    assert poller.get(batch_path)[0] == 404


def test_a_fault_that_comes_between_hits_the_next_poll(serving, chat_line):
    _, poller, client = serving(pacing="2024")
    batch = create(client, chat_line())
    path = f"/v1/batches/{batch['id']}"
    assert [poller.get(path)[0], poller.get(path)[0]] == [200, 200]
    fault = {"fault": "error", "call": "retrieve_batch", "status": 503, "nth": 1}
    assert client.send("PUT", "/_batchsim/faults", json.dumps({"requests": [fault]})).status == 200
    assert [poller.get(path)[0], poller.get(path)[0]] == [503, 200]
