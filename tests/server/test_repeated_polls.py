"""A look that comes again, byte for byte, on one connection: known, and answered as any other."""

import asyncio
import http.client
import json
import threading
from contextlib import ExitStack

import pytest
import uvicorn
from uvicorn.server import ServerState

from batchsim.clock import VirtualClock
from batchsim.server.connection_limits import ServerLimits
from batchsim.server.control_api import Control
from batchsim.server.fakes_by_key import Fakes
from batchsim.server.http_protocol import LONGEST_LOOK, MOST_LOOKS, BoundedProtocol
from batchsim.server.request_guard import Guard
from batchsim.server.request_handler import Door
from batchsim.server.serve import running
from batchsim.wire import App, Response

LOOK = b"GET /look HTTP/1.1\r\nHost: localhost\r\n\r\n"
CRASH = 666
DRAWN = {"x-request-id", "openai-processing-ms", "date", "content-length"}


class Counting:
    """Answers looks with a number each, everything else in a thread; notes what it reads."""

    def __init__(self):
        self.read = []
        self.given = 0
        self.is_prompt = True
        self.left = threading.Event()
        self.left.set()

    def look(self, request):
        if request.path.startswith("/look"):
            self.read.append(request.path)
            return self
        return None

    def answer(self):
        if not self.is_prompt:
            return None
        self.given += 1
        if self.given == CRASH:
            raise ValueError
        return ok(b"look %d" % self.given)

    def handle(self, request):
        size = sum(map(len, request.body))
        self.left.wait(20)
        return ok(b"%s, %d bytes" % (request.path.encode(), size))


def ok(content):
    return Response(200, (("content-type", "text/plain"),), (content,))


@pytest.fixture
def counting():
    return Counting()


class Line(asyncio.Transport):
    """A connection without a socket: what comes in one packet is what the test says."""

    def __init__(self, runner, handler, **limits):
        self.runner = runner
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written, self.is_closed, self.timers = b"", False, []
        limits = ServerLimits(**limits)
        self.door = Door(handler, Guard(limits), limits)
        config = uvicorn.Config(
            self.door,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=limits.idle_seconds,
        )
        config.load()
        self.protocol = BoundedProtocol(
            door=self.door,
            limits=limits,
            config=config,
            server_state=ServerState(),
            app_state={},
            _loop=self,
        )
        self.protocol.connection_made(self)

    def call_later(self, *arguments):
        timer = asyncio.get_running_loop().call_later(*arguments)
        self.timers.append(timer)
        return timer

    def __getattr__(self, name):
        """All else that the protocol wants of its loop."""
        return getattr(self.runner.get_loop(), name)

    def write(self, data):
        self.written += data

    def close(self):
        self.is_closed = True

    def is_closing(self):
        return self.is_closed

    def pause_reading(self):
        """There is nothing that could be kept from coming."""

    resume_reading = pause_reading

    def come(self, *packets):
        """Have each come in a packet of its own."""

        async def come():
            for packet in packets:
                self.protocol.data_received(packet)

        self.runner.run(come())

    def ask(self, *packets):
        """Have them come; the body of the next answer."""
        self.come(*packets)
        return self.answer()

    def answer(self):
        self.wait(lambda: b"\r\n\r\n" in self.written)
        head, _, rest = self.written.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body, self.written = rest[:length], rest[length:]
        return body

    def wait(self, condition):
        async def wait():
            async with asyncio.timeout(20):
                while not condition():
                    await asyncio.sleep(0.001)

        self.runner.run(wait())


@pytest.fixture
def line_to():
    """`line_to(handler, limit=...)` -> a connection."""
    lines = []
    with asyncio.Runner() as runner:

        async def start(handler, **limits):
            lines.append(Line(runner, handler, **limits))
            return lines[-1]

        yield lambda *arguments, **limits: runner.run(start(*arguments, **limits))
        for line in lines:
            line.door.close()


@pytest.fixture
def line(line_to, counting):
    return line_to(counting)


def test_a_look_is_read_once_and_answered_each_time(line, counting):
    assert [line.ask(LOOK) for _ in range(3)] == [b"look 1", b"look 2", b"look 3"]
    assert counting.read == ["/look"]


def test_what_cannot_be_answered_at_once_any_more_goes_the_long_way(line, counting):
    assert line.ask(LOOK) == b"look 1"
    counting.is_prompt = False
    assert line.ask(LOOK) == b"/look, 0 bytes"
    counting.is_prompt = True
    assert line.ask(LOOK) == b"look 2"
    assert counting.read == ["/look", "/look"]


def test_a_body_that_reads_like_a_known_look_is_a_body(line, counting):
    assert line.ask(LOOK) == b"look 1"
    head = b"POST /other HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    assert line.ask(head % (2 * len(LOOK)), LOOK, LOOK) == b"/other, 78 bytes"
    assert line.ask(LOOK) == b"look 2"


def test_two_in_one_packet_are_two(line):
    for numbers in ((1, 2), (3, 4)):
        first, second = line.ask(LOOK + LOOK), line.answer()
        assert (first, second) == tuple(b"look %d" % number for number in numbers)


def test_one_in_pieces_is_read(line, counting):
    assert line.ask(LOOK) == b"look 1"
    assert line.ask(LOOK[:9], LOOK[9:30], LOOK[30:]) == b"look 2"
    assert line.ask(LOOK[:9], LOOK[9:] + LOOK[:9]) == b"look 3"
    assert line.ask(LOOK[9:]) == b"look 4"
    assert line.ask(LOOK) == b"look 5"
    assert counting.read == ["/look"] * 4


def test_the_end_of_one_and_a_whole_one_are_no_request_that_is_known(line):
    end = LOOK[9:] + LOOK
    assert [line.ask(LOOK[:9], end), line.answer()] == [b"look 1", b"look 2"]
    assert b"Invalid HTTP request" in line.ask(end)


def test_a_head_that_holds_a_known_look_is_a_head(line):
    assert line.ask(LOOK) == b"look 1"
    begun = b"GET /other HTTP/1.1\r\nHost: localhost\r\nX-Nested: "
    assert b"exactly one Host" in line.ask(begun, LOOK)


def test_what_waits_in_line_keeps_its_place(line, counting):
    assert line.ask(LOOK) == b"look 1"
    counting.left.clear()
    line.come(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")
    line.come(LOOK)
    assert line.written == b""
    counting.left.set()
    assert [line.answer(), line.answer()] == [b"/other, 0 bytes", b"look 2"]


def test_who_does_not_read_gets_no_answers_to_keep(line, counting):
    assert line.ask(LOOK) == b"look 1"
    line.protocol.pause_writing()
    line.come(LOOK)
    assert line.written == b""
    line.protocol.resume_writing()
    assert line.answer() == b"/look, 0 bytes"


def test_a_connection_knows_so_many_looks_and_no_long_ones(line, counting):
    many = [LOOK.replace(b"look", b"look%d" % number) for number in range(MOST_LOOKS)]
    for each in many * 2:
        line.ask(each)
    assert len(counting.read) == MOST_LOOKS
    line.ask(LOOK)  # one too many: all others are forgotten
    for each in many[:-1] * 2:
        line.ask(each)
    assert len(counting.read) == 2 * MOST_LOOKS
    long = LOOK[:-2] + b"X: " + b"y" * LONGEST_LOOK + b"\r\n\r\n"
    line.ask(long)
    line.ask(long)
    assert len(counting.read) == 2 * MOST_LOOKS + 2


def test_another_head_is_not_the_same_look(line, counting):
    line.ask(LOOK)
    evil = LOOK.replace(b"localhost", b"evil.example")
    for _ in range(2):
        assert b"does not answer to the host" in line.ask(evil)
    assert counting.given == 1


def test_a_crash_is_an_answer_and_the_connection_goes_on(line, counting, caplog):
    line.ask(LOOK)
    counting.given = CRASH - 1
    assert b"server_error" in line.ask(LOOK)
    assert line.ask(LOOK) == b"look %d" % (CRASH + 1)


@pytest.mark.parametrize(
    "last",
    [
        LOOK[:-2] + b"Connection: close\r\n\r\n",
        LOOK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_the_last_request_of_a_connection_is_the_last(line, last):
    line.ask(LOOK)
    assert not line.is_closed
    assert line.ask(last) == b"look 2"
    assert line.is_closed


def test_one_time_limit_holds_after_a_look_whatever_came_before_it(line):
    line.ask(LOOK)
    line.come(b"\r\n")  # which means nothing, and begins a time limit of its own
    line.ask(LOOK)
    assert len([timer for timer in line.timers if not timer.cancelled()]) == 1


@pytest.mark.parametrize("between", [b"", b"\r\n"])
def test_a_connection_that_falls_silent_after_looks_is_closed(line_to, counting, between):
    """Also when a line that means nothing came last, for which another time limit holds."""
    line = line_to(counting, idle_seconds=0.05)
    assert line.ask(LOOK) == b"look 1"
    assert line.ask(between, LOOK) == b"look 2"
    line.wait(lambda: line.is_closed)


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
            fakes = Fakes(seed=1, clock=VirtualClock(), **options)
            stack.callback(fakes.close)
            address = stack.enter_context(running(Control(fakes, App(fakes.tenants))))
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
