"""What holds for every test: no network, repeatable searches, a quiet environment."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import sqlite3
from pathlib import Path

import certifi
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "fuzz", settings.get_profile("repeatable"), derandomize=False, max_examples=2_000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


_states = itertools.count()

MEMORY = Path("/dev/shm")
ROOM_IN_MEMORY = 4 << 30


def pytest_configure() -> None:
    """Work in memory where there is room: no test is about what a disk keeps when the power fails.

    Let Ctrl-C reach the programs that tests start, also where a shell put pytest behind itself.
    """
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM_IN_MEMORY:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out modules without a test of the SDK when only such are asked for.

    They are collected once for every release, where what the other tests need is not installed.
    """
    is_module = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if is_module and config.option.markexpr.startswith("sdk"):
        return "mark.sdk" not in collection_path.read_text("utf-8") or None
    return None


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail any connection to an address that is not this machine's own."""
    connect = socket.socket.connect

    def connect_at_home(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            pytest.fail(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_at_home)


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one certificate: to read all of them for each client takes fifty
    times as long.
    """
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    path.write_text(first + end, "utf-8")
    return path


@pytest.fixture(autouse=True)
def quiet_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, one_authority: Path
) -> None:
    """Take away what the developer's own shell may say about keys, addresses and colours.

    What batchsim keeps of a user's work goes to a folder of the test's own.
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))
    state = tmp_path_factory.getbasetemp() / "state" / str(next(_states))
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    for name in [
        name for name in os.environ if name.startswith("OPENAI_") or name.endswith("_API_KEY")
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def opened_databases(monkeypatch: pytest.MonkeyPatch) -> dict[str, sqlite3.Connection]:
    """The SQLite databases that are opened in this test, by the names of their files."""
    opened = {}
    connect = sqlite3.connect

    def remembered(path, **options):
        opened[Path(path).name] = database = connect(path, **options)
        return database

    monkeypatch.setattr(sqlite3, "connect", remembered)
    return opened


@pytest.fixture
def read_only_databases(monkeypatch: pytest.MonkeyPatch):
    """A context in which no database that is opened can be written, as on a disk without room."""

    @contextlib.contextmanager
    def opened_so():
        real = sqlite3.connect

        def connect(*arguments, **options):
            database = real(*arguments, **options)
            database.execute("PRAGMA query_only = ON")
            return database

        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", connect)
            yield

    return opened_so
