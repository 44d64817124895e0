"""An account behind a port, for programs in other processes and other languages."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from batchsim.clock import VirtualClock
from batchsim.testing.account import Account
from batchsim.testing.transport import API_KEY
from batchsim.wire import App, Request, Response

SECONDS_PER_LOOK = 60.0  # virtual seconds that pass after each look at a batch through the port


@dataclass(frozen=True, slots=True)
class Port:
    """The address at which the account can be reached.

    `base_url` is that of an OpenAI client, such as `http://127.0.0.1:8000/v1`; any key is let in,
    `api_key` among them. `account` is the same that the fixture `batchsim` gives.
    """

    base_url: str
    api_key: str
    account: Account

    @property
    def environment(self) -> dict[str, str]:
        """The variables that official clients read, for a process to be started."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": self.api_key}


@contextmanager
def on_a_port(account: Account) -> Iterator[Port]:
    """Serve the account on a free port of this machine while the block runs.

    Another process sleeps in real time, which the virtual clock does not follow. So each look at a
    batch, or at the list of them, lets SECONDS_PER_LOOK pass: a client that polls sees progress.
    Raises MissingExtra when the packages of `batchsim[serve]` are not installed.
    """
    from batchsim.server.serve_extra import check_serve_extra

    check_serve_extra()
    from batchsim.server.serve import running

    with running(_TimePassing(App(account.backend), account.clock)) as address:
        yield Port(f"{address}/v1", API_KEY, account)


class _TimePassing:
    def __init__(self, app: App, clock: VirtualClock) -> None:
        self._app = app
        self._clock = clock

    def handle(self, request: Request) -> Response:
        answer = self._app.handle(request)
        if request.method == "GET" and request.path.startswith("/v1/batches"):
            self._clock.advance(SECONDS_PER_LOOK)
        return answer
