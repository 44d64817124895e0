"""A simulated service for each key, in memory or in a folder."""

import errno
import io
import json
import sqlite3
import stat
from pathlib import Path

import pytest

from batchsim.clock import VIRTUAL_START, ScaledClock, VirtualClock
from batchsim.errors import UsageError
from batchsim.server.adjustable_clock import AdjustableClock
from batchsim.server.fakes_by_key import FakesByKey
from batchsim.server.serve import running
from batchsim.stores.lent import MOST_OPEN
from batchsim.wire import App


def upload(fakes, key):
    backend = fakes.tenants.backend(key)
    return backend.upload_file(io.BytesIO(b"{}\n"), filename="a.jsonl").id


@pytest.fixture
def fakes_in(tmp_path):
    made = []

    def make(folder=tmp_path / "data", **options):
        fakes = FakesByKey(**{"clock": VirtualClock(), **options}, folder=folder)
        made.append(fakes)
        return fakes

    yield make
    for fakes in made:
        fakes.close()


def test_no_two_keys_and_no_two_seeds_draw_the_same_ids():
    ids = [
        upload(FakesByKey(seed=seed, clock=VirtualClock()), key)
        for seed in (1, 2)
        for key in ("a", "b", "ä", "")
    ]
    assert len(set(ids)) == 8


def test_the_same_key_and_seed_draw_the_same_ids(fakes_in):
    assert upload(FakesByKey(seed=1, clock=VirtualClock()), "a") == upload(fakes_in(seed=1), "a")


def test_a_folder_gives_back_what_it_was_given(fakes_in):
    first = fakes_in()
    ids = {key: upload(first, key) for key in ("sk-one", "sk-other", "../../etc/passwd")}
    first.close()
    again = fakes_in()
    assert len(again.backends()) == 3
    for key, file_id in ids.items():
        assert again.tenants.backend(key).retrieve_file(file_id).id == file_id


def test_nobody_else_may_read_the_folder_and_it_names_no_key(fakes_in, tmp_path):
    upload(fakes_in(), "sk-one")
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert not [path for path in (tmp_path / "data").rglob("*") if "sk-one" in path.name]
    assert b"sk-one" not in b"".join(
        path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()
    )


def test_time_goes_on_from_where_the_folder_left_off(fakes_in):
    first = fakes_in()
    first.clock.advance(86_400)
    upload(first, "a")
    then = first.clock.now()
    first.close()
    again = fakes_in()
    assert again.clock.now() == then
    again.close()
    assert fakes_in(clock=VirtualClock(then + 1)).clock.now() == then + 1


def test_time_that_was_noted_is_not_gone_behind(fakes_in):
    first = fakes_in()
    first.clock.advance(86_400)
    first.note_time()
    first.close()
    assert fakes_in().clock.now() == VIRTUAL_START + 86_400


@pytest.mark.parametrize("content", [b"", b"soon", b"\xff", b"nan", b"inf"])
def test_a_time_that_is_none_is_refused(fakes_in, tmp_path, content):
    fakes_in().close()
    (tmp_path / "data" / "clock").write_bytes(content)
    with pytest.raises(UsageError, match="does not hold a time"):
        fakes_in()
    (tmp_path / "data" / "clock").unlink()
    assert fakes_in().clock.now() == VIRTUAL_START


def test_two_servers_do_not_share_a_folder(fakes_in, tmp_path):
    first = fakes_in()
    with pytest.raises(UsageError, match="in use by another server"):
        fakes_in()
    first.close()
    fakes_in()


def test_a_folder_that_cannot_be_one_is_refused(fakes_in, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot hold the data"):
        fakes_in(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot hold the data"):
        fakes_in(tmp_path / "file" / "below")


def test_what_is_no_key_in_the_folder_is_left_alone(fakes_in, tmp_path):
    other = tmp_path / "data" / "keys" / "notes"
    other.mkdir(parents=True)
    assert fakes_in().backends() == {}
    assert list(other.iterdir()) == []


def test_an_adjustable_clock_runs_as_its_base_does():
    real = iter([0.0, 10.0, 20.0])
    naps = []
    base = ScaledClock(2, start=100.0, source=lambda: next(real), nap=naps.append)
    clock = AdjustableClock(base)
    clock.advance(5)
    assert [clock.now(), clock.now()] == [125.0, 145.0]
    clock.sleep(4)
    assert naps == [2.0]


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_an_adjustable_clock_does_not_go_back(seconds):
    clock = AdjustableClock(VirtualClock())
    for move in (clock.advance, lambda by: clock.advance_to(VIRTUAL_START + by)):
        with pytest.raises(ValueError, match="cannot go back"):
            move(seconds)
    assert clock.now() == VIRTUAL_START


def test_a_scenario_holds_for_every_key_and_through_a_reset():
    fakes = FakesByKey(scenario="missing_lines", clock=VirtualClock())
    assert fakes.faults.lines[0].fault == "missing"
    fakes.reset()
    assert fakes.faults.lines[0].fault == "missing"


def test_a_scenario_changes_the_pacing_that_was_chosen():
    fakes = FakesByKey(scenario="stuck_validating", pacing="instant", clock=VirtualClock())
    backend = fakes.tenants.backend("a")
    batch = backend.create_batch(input_file_id=upload(fakes, "a"), endpoint="/v1/chat/completions")
    fakes.clock.advance(3_600)
    assert backend.retrieve_batch(batch.id).status == "validating"


def test_a_key_whose_data_cannot_be_opened_gets_503_and_no_path(
    fakes_in, tmp_path, monkeypatch, client_of, caplog
):
    def full(*_, **__):
        raise sqlite3.OperationalError("unable to open database file")

    with running(App(fakes_in().tenants)) as address:
        monkeypatch.setattr(sqlite3, "connect", full)
        answer = client_of(address).upload(b"{}\n")
        assert (answer.status, answer.json["error"]["type"]) == (503, "server_error")
        assert str(tmp_path) not in answer.content.decode()
        assert str(tmp_path) in caplog.text
        monkeypatch.undo()
        assert client_of(address).upload(b"{}\n").status == 200


def test_a_server_without_descriptors_answers_503(client_of, caplog):
    class Full:
        def handle(self, _):
            raise OSError(errno.EMFILE, "Too many open files", "/somewhere/on/the/server")

    with running(Full()) as address:
        answer = client_of(address).send("GET", "/v1/files")
    assert answer.status == 503
    assert "Too many open files" in answer.json["error"]["message"]
    assert "/somewhere" not in answer.content.decode()


def test_a_key_that_only_reads_leaves_nothing_on_the_disk(fakes_in, tmp_path, client_of):
    with running(App(fakes_in().tenants)) as address:
        for number in range(5):
            client = client_of(address, f"sk-unknown-{number}")
            assert client.send("GET", "/v1/files").json["data"] == []
            assert client.send("GET", "/v1/files/file-a/content").status == 404
    assert list((tmp_path / "data" / "keys").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no /proc")
def test_a_hundred_keys_keep_few_files_open_and_each_keeps_its_own(fakes_in, tmp_path, client_of):
    fakes = fakes_in()
    with running(App(fakes.tenants)) as address:
        before = len(list(Path("/proc/self/fd").iterdir()))
        clients = [client_of(address, f"sk-{number}") for number in range(100)]
        ids = [each.upload(b'{"n": %d}\n' % n).json["id"] for n, each in enumerate(clients)]
        assert len(list(Path("/proc/self/fd").iterdir())) - before <= 4 * MOST_OPEN + 10
        for number, (client, file) in enumerate(zip(clients, ids, strict=True)):
            content = client.send("GET", f"/v1/files/{file}/content").content
            assert json.loads(content) == {"n": number}
    fakes.close()
    assert len(fakes_in().backends()) == 100
