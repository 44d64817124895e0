"""The simulator's control, as a test in another language pulls them."""

import io
import re

import orjson
import pytest

from batchsim.backends.fake import Faults
from batchsim.clock import ScaledClock, VirtualClock
from batchsim.server.control_api import ControlApi
from batchsim.server.fakes_by_key import FakesByKey
from batchsim.server.serve import running
from batchsim.wire import App, Request
from tests.docs.documents import DOCUMENTS

START = 1_767_225_600.0


class ControlClient:
    def __init__(self, api_keys=None, clock=None, **options):
        self.fakes = FakesByKey(seed=1, clock=clock or VirtualClock(START), **options)
        app = App(self.fakes.tenants, api_keys=api_keys)
        self.control = ControlApi(self.fakes, app, api_keys)

    def send(self, method, path, value=None, key="sk-any"):
        body = (
            () if value is None else (value if isinstance(value, bytes) else orjson.dumps(value),)
        )
        headers = (("authorization", f"Bearer {key}"),)
        answer = self.control.handle(Request(method, path, "", headers, body))
        return answer.status, orjson.loads(b"".join(answer.body))

    def create(self, key="sk-any", *, input_file_id="file-x", endpoint="/v1/embeddings"):
        body = {"input_file_id": input_file_id, "endpoint": endpoint, "completion_window": "24h"}
        return self.send("POST", "/v1/batches", body, key)[1]


@pytest.fixture
def control():
    return ControlClient()


def test_the_clock_can_be_read_and_put_forward(control):
    assert control.send("GET", "/_batchsim/clock") == (200, {"now": START})
    assert control.send("POST", "/_batchsim/clock", {"advance": 60.5}) == (
        200,
        {"now": START + 60.5},
    )
    later = START + 86_400
    assert control.send("POST", "/_batchsim/clock", {"advance_to": later}) == (200, {"now": later})


def test_a_clock_put_forward_ends_what_falls_due(control):
    batch = control.create()
    assert batch["status"] == "validating"
    control.send("POST", "/_batchsim/clock", {"advance": 86_400})
    assert control.send("GET", f"/v1/batches/{batch['id']}")[1]["status"] == "failed"


def test_a_clock_put_forward_waits_for_the_large_batches_that_end(chat_line):
    control = ControlClient(clock=ScaledClock(1, start=START, source=lambda: 0.0))
    backend = control.fakes.tenants.backend("sk-any")
    content = b"".join(chat_line(str(number)) for number in range(3_000))
    file = backend.upload_file(io.BytesIO(content), filename="input.jsonl")
    batch = control.create(input_file_id=file.id, endpoint="/v1/chat/completions")
    control.send("POST", "/_batchsim/clock", {"advance": 86_400})
    assert control.send("GET", f"/v1/batches/{batch['id']}")[1]["status"] == "completed"
    control.fakes.close()


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"advance": 1, "advance_to": START + 1},
        {"advance": None},
        {"advance": -1},
        {"advance": True},
        {"advance": "60"},
        {"advance": 1e300},
        {"advance_to": START - 1},
        {"advance_to": 1e15},
        {"other": 1},
        [],
        b"{",
        b'{"advance": NaN}',
    ],
)
def test_what_the_clock_refuses(control, value):
    status, answer = control.send("POST", "/_batchsim/clock", value)
    assert (status, set(answer)) == (400, {"error"})
    assert control.fakes.clock.now() == START


def test_faults_are_set_for_keys_old_and_new(control):
    old = control.create("sk-old")
    status, plan = control.send(
        "PUT", "/_batchsim/faults", {"file_unknown_for": 60, "quota_after": 3}
    )
    assert status == 200
    assert (plan["file_unknown_for"], plan["quota_after"], plan["incident"]) == (60, 3, 0)
    assert control.send("GET", "/_batchsim/faults") == (200, plan)
    assert "error" not in old
    assert "error" in control.create("sk-old")
    assert "error" in control.create("sk-new")


def test_faults_that_are_not_named_go_back_to_none(control):
    control.send("PUT", "/_batchsim/faults", {"file_unknown_for": 60})
    control.send("PUT", "/_batchsim/faults", {"incident": 0.5})
    assert control.fakes.faults == Faults(incident=0.5)
    assert "error" not in control.create()


@pytest.mark.parametrize(
    "value",
    [
        {"incident": 2},
        {"incident": "all"},
        {"incident": True},
        {"quota_after": 1.5},
        {"odd": 1},
        {"lost_lines": -1},
    ],
)
def test_what_is_no_fault_is_refused(control, value):
    assert control.send("PUT", "/_batchsim/faults", value)[0] == 400
    assert control.fakes.faults == Faults()


def test_the_snapshot_shows_all_keys_without_naming_them(control):
    batches = {key: control.create(key)["id"] for key in ("sk-one", "sk-other")}
    status, shown = control.send("GET", "/_batchsim/snapshot")
    found = [batch["id"] for key in shown["keys"].values() for batch in key["batches"]]
    assert (status, shown["now"], sorted(found)) == (200, START, sorted(batches.values()))
    assert "sk-one" not in str(shown)


def test_a_snapshot_is_whole_however_long_its_lists_are(control):
    made = [control.create()["id"] for _ in range(101)]
    (key,) = control.send("GET", "/_batchsim/snapshot")[1]["keys"].values()
    assert [batch["id"] for batch in reversed(key["batches"])] == made


def test_a_reset_forgets_everything_but_the_time(control):
    first = control.create()["id"]
    control.send("PUT", "/_batchsim/faults", {"incident": 1})
    control.send("POST", "/_batchsim/clock", {"advance": 60})
    assert control.send("POST", "/_batchsim/reset") == (200, {"now": START + 60})
    assert control.send("GET", "/_batchsim/snapshot")[1]["keys"] == {}
    assert control.send("GET", f"/v1/batches/{first}")[0] == 404
    assert control.fakes.faults == Faults()


def test_a_reset_empties_the_folder_too(tmp_path):
    control = ControlClient(folder=tmp_path)
    first = control.create()["id"]
    control.send("POST", "/_batchsim/reset")
    assert control.send("GET", f"/v1/batches/{first}")[0] == 404
    control.fakes.close()
    again = ControlClient(folder=tmp_path)
    assert again.send("GET", f"/v1/batches/{first}")[0] == 404
    again.fakes.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_batchsim/", 404),
        ("GET", "/_batchsim/other", 404),
        ("GET", "/_batchsim/clock/", 404),
        ("DELETE", "/_batchsim/clock", 405),
        ("GET", "/_batchsim/reset", 405),
        ("GET", "/_batchsimilar", 404),
    ],
)
def test_there_are_no_other_levers(control, method, path, status):
    assert control.send(method, path)[0] == status


def test_the_levers_ask_for_a_key_where_keys_are_known():
    control = ControlClient(api_keys=["sk-right"])
    assert control.send("GET", "/_batchsim/clock", key="sk-wrong")[0] == 401
    assert control.send("GET", "/_batchsim/clock", key="sk-right")[0] == 200


def test_the_levers_are_not_there_unless_asked_for(client):
    assert client.send("GET", "/_batchsim/clock").status == 404


def test_the_levers_work_over_the_port_and_not_for_other_origins(client_of):
    control = ControlClient()
    with running(control.control) as address:
        client = client_of(address)
        assert client.send_json("POST", "/_batchsim/clock", {"advance": 1}).json == {
            "now": START + 1
        }
        foreign = client.send("POST", "/_batchsim/reset", origin="http://localhost:3000")
        assert foreign.status == 403


def test_the_verdict_is_on_the_client_whose_key_asks(control):
    control.create("sk-one")
    status, verdict = control.send("GET", "/_batchsim/verdict", key="sk-one")
    assert (status, verdict["requests"], verdict["is_clean"]) == (200, 1, False)
    assert [each["code"] for each in verdict["findings"]] == ["leaves_batches"]
    control.send("GET", "/_batchsim/snapshot")
    _, other = control.send("GET", "/_batchsim/verdict", key="sk-other")
    assert (other["requests"], other["is_clean"]) == (0, True)
    assert control.send("GET", "/_batchsim/verdict", key="")[0] == 401


def test_the_guide_has_the_levers_and_their_methods(control):
    rows = re.findall(
        r"^\| `(\w+) (/_batchsim/\w+)` \|", DOCUMENTS["serve"].read_text("utf-8"), re.M
    )
    for path in {path for _, path in rows}:
        allowed = {m for m in ("GET", "POST", "PUT") if control.send(m, path, b"{}")[0] != 405}
        assert allowed == {method for method, known in rows if known == path}
    _, answer = control.send("GET", "/_batchsim/nothing")
    assert all(path.rpartition("/")[2] in answer["error"]["message"] for _, path in rows)
