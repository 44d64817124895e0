"""A live server whose time passes by being asked, and what clients send to it."""

import json
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.backends.fake.ids import derived_seed
from batchsim.clock import VirtualClock
from batchsim.wire import App, Tenants
from tests.repository import FIXTURES

SECONDS_PER_REQUEST = 1.0
MOST_POLLS = 50


class Ticking:
    """Lets each request take a second of the simulated time, so that polling needs no sleep."""

    def __init__(self, app, clock):
        self._app = app
        self._clock = clock

    def handle(self, request):
        answer = self._app.handle(request)
        self._clock.advance(SECONDS_PER_REQUEST)
        return answer


@dataclass
class Served:
    address: str
    port: int

    @property
    def base_url(self):
        return f"{self.address}/v1"

    def environment(self, key="sk-fake"):
        """What `batchsim serve` tells its user to export."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": key}


@pytest.fixture
def serve():
    """`serve()` -> a server of its own for this test, stopped at its end."""
    pytest.importorskip("httptools", reason="the extra batchsim[serve] is not installed")
    from batchsim.server.serve import running

    with ExitStack() as stack:

        def start(*, responder=None, pacing="quick", api_keys=None):
            clock = VirtualClock()

            def make(digest):
                backend = FakeBackend(
                    seed=derived_seed(1, digest), clock=clock, pacing=pacing, responder=responder
                )
                stack.callback(backend.close)
                return backend

            app = App(Tenants(make), api_keys=api_keys)
            address = stack.enter_context(running(Ticking(app, clock)))
            return Served(address, int(address.rpartition(":")[2]))

        yield start


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def demo_file():
    """The three lines of April 2024."""
    return FIXTURES / "demo" / "input.jsonl"


@pytest.fixture
def demo_answers():
    """The translations that came back for them, by custom_id."""
    return json.loads((FIXTURES / "demo" / "answers.json").read_text(encoding="utf-8"))


@pytest.fixture
def demo_server(serve, demo_answers):
    """A server that answers the three lines as the service did."""
    return serve(responder=demo_answers)


@pytest.fixture
def poll():
    """`poll(retrieve)` -> the batch at its end, and the statuses that were seen on the way."""

    def until_ended(retrieve):
        seen = []
        for _ in range(MOST_POLLS):
            batch = retrieve()
            if batch["status"] not in seen[-1:]:
                seen.append(batch["status"])
            if batch["status"] in ("completed", "failed", "expired", "cancelled"):
                return batch, seen
        pytest.fail(f"not ended after {MOST_POLLS} polls: {seen}")

    return until_ended


@pytest.fixture
def by_custom_id():
    """`by_custom_id(content)` -> the texts of an output file of chat completions."""

    def read(content):
        lines = [json.loads(line) for line in content.splitlines()]
        return {
            line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"]
            for line in lines
        }

    return read
