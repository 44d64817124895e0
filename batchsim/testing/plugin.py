"""The pytest plugin: fixtures `batchsim` and `batchsim_server`, a marker, an option.

It is loaded at every start of pytest wherever batchsim is installed, so it imports nothing of
batchsim until a test asks for it.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from batchsim.testing.account import Account
    from batchsim.testing.asking import Asked
    from batchsim.testing.port import Port

SEED = "--batchsim-seed"

MARKER = (
    "batchsim(seed, scenario, responder, limits, pacing, order, faults, allow): "
    "how the service that the fixture `batchsim` simulates behaves"
)

_account = pytest.StashKey["Account"]()


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


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def batchsim(request: pytest.FixtureRequest) -> Iterator[Account]:
    """A fresh simulated OpenAI account, to which every OpenAI client of this process talks.

    Nothing else leaves the machine (see batchsim.intercept), and sleeping between polls costs no
    real time: it advances the account's virtual clock (see batchsim.testing.sleeping for what is
    covered). `@pytest.mark.batchsim(...)` says how the account behaves.
    """
    from batchsim.errors import UsageError
    from batchsim.testing.account import Account
    from batchsim.testing.intercept import intercept
    from batchsim.testing.sleeping import sleeping_on

    try:
        asked = _asked(request)
        account = Account(asked)
        interception = intercept(account.backend, allow=asked.allow)
    except UsageError as error:
        pytest.fail("\n".join(filter(None, (error.message, error.hint))), pytrace=False)
    request.node.stash[_account] = account
    with interception, sleeping_on(account.clock):
        yield account
    account.backend.close()


@pytest.fixture
def batchsim_server(batchsim: Account) -> Iterator[Port]:
    """The account of `batchsim` on a real port, for other processes and other languages."""
    from batchsim.testing.port import on_a_port

    with on_a_port(batchsim) as port:
        yield port


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


def _asked(request: pytest.FixtureRequest) -> Asked:
    from batchsim.testing.asking import asked, merged

    markers = request.node.iter_markers("batchsim")
    arguments = merged((marker.args, marker.kwargs) for marker in markers)
    return asked(arguments, seed=request.config.getoption(SEED))


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
