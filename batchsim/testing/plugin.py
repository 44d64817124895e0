"""The pytest plugin: fixtures `batchsim`, `batchsim_server`, `batchsim_backend`, markers, options.

It is loaded at every start of pytest wherever batchsim is installed, so it imports nothing of
batchsim until a test asks for it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from batchsim.backends import Backend
    from batchsim.testing.account import Account
    from batchsim.testing.account_server import Port
    from batchsim.testing.marker_options import MarkerOptions

SEED = "--batchsim-seed"

MARKER = (
    "batchsim(seed, scenario, responder, limits, pacing, order, faults, allow): "
    "how the service that the fixture `batchsim` simulates behaves"
)

REAL = "--batchsim-real"

REAL_MARKER = (
    "batchsim_real: what the fixture `batchsim_backend` promises holds for the real API too; with "
    f"{REAL} the test runs there, and costs money"
)

_account = pytest.StashKey["Account"]()
_service = pytest.StashKey[tuple[str | None, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the seed."""
    group = parser.getgroup("batchsim", "the simulated OpenAI Batch API")
    group.addoption(
        SEED,
        type=int,
        default=0,
        metavar="N",
        help="seed of the simulated service in tests whose marker names none (default: 0)",
    )
    group.addoption(
        REAL,
        action="store_true",
        help="run the tests marked batchsim_real on the real API "
        "(OPENAI_API_KEY, OPENAI_BASE_URL): this costs money",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, and note which service is the real one."""
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", REAL_MARKER)
    if config.getoption(REAL):
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key:
            raise pytest.UsageError(f"{REAL} needs a key: export OPENAI_API_KEY=...")
        config.stash[_service] = os.environ.get("OPENAI_BASE_URL") or None, key


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say where the marked tests run when that costs money."""
    if _service not in config.stash:
        return []
    address, _ = config.stash[_service]
    where = address or "https://api.openai.com/v1"
    return [f"batchsim: tests marked batchsim_real run on {where}, which may cost money"]


@pytest.fixture
def batchsim(request: pytest.FixtureRequest) -> Iterator[Account]:
    """A fresh simulated OpenAI account, to which every OpenAI client of this process talks.

    Nothing else leaves the machine (see batchsim.intercept), and sleeping between polls costs no
    real time: it advances the account's virtual clock (batchsim.testing.virtual_sleep lists what
    is covered). `@pytest.mark.batchsim(...)` says how the account behaves.
    """
    with _errors_as_failures():
        from batchsim.testing.account import Account
        from batchsim.testing.intercept import intercept
        from batchsim.testing.virtual_sleep import sleep_virtually

        options = _options(request)
        account = Account(options)
        interception = intercept(account.backend, allow=options.allow)
    request.node.stash[_account] = account
    with interception, sleep_virtually(account.clock):
        yield account
    account.backend.close()


@pytest.fixture
def batchsim_server(batchsim: Account) -> Iterator[Port]:
    """The account of `batchsim` on a real port, for other processes and other languages."""
    with ExitStack() as stack:
        with _errors_as_failures():
            from batchsim.testing.account_server import on_a_port

            port = stack.enter_context(on_a_port(batchsim))
        yield port


@pytest.fixture
def batchsim_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A Backend: a simulated one, as `@pytest.mark.batchsim(...)` says, on a virtual clock.

    For a test marked `batchsim_real` it is the real API under `--batchsim-real`, so that the
    simulator can be compared with it. Such a test waits by `backend.clock.sleep`.
    """
    if _service in request.config.stash and request.node.get_closest_marker("batchsim_real"):
        from batchsim.backends.openai import OpenAIBackend

        address, key = request.config.stash[_service]
        backend = OpenAIBackend(base_url=address, api_key=key)
        yield backend
        backend.close()
        return
    with _errors_as_failures():
        from batchsim.testing.account import Account

        account = request.node.stash[_account] = Account(_options(request))
    yield account.backend
    account.backend.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell in the report of a failure how the account behaved and what happened to it."""
    report = yield
    account = item.stash.get(_account, None)
    if account is not None and report.failed:
        report.sections.append(("batchsim", _story(item, account)))
    return report


@contextmanager
def _errors_as_failures() -> Iterator[None]:
    """Turn an error of ours into a failure without a traceback: what is wrong, and what to do."""
    from batchsim.errors import InputError, MissingExtra, UsageError

    try:
        yield
    except (InputError, MissingExtra, UsageError) as error:
        place = error.place if isinstance(error, InputError) else ""
        message = f"{place}: {error.message}" if place else error.message
        told = "\n".join(filter(None, (message, error.hint)))
        raise pytest.fail.Exception(told, pytrace=False) from None


def _options(request: pytest.FixtureRequest) -> MarkerOptions:
    from batchsim.testing.marker_options import merge_markers, read_options

    markers = request.node.iter_markers("batchsim")
    arguments = merge_markers((marker.args, marker.kwargs) for marker in markers)
    return read_options(arguments, seed=request.config.getoption(SEED))


def _story(item: pytest.Item, account: Account) -> str:
    again = f"pytest {shlex.quote(item.nodeid)} {SEED} {account.seed}"
    return "\n".join(
        [
            f"seed {account.seed}, scenario {account.scenario}",
            account.timeline or "no request was made",
            *_verdict(account),
            f"again: {again}",
        ]
    )


def _verdict(account: Account) -> list[str]:
    verdict = account.verdict
    return [] if verdict.is_clean else [str(verdict)]
