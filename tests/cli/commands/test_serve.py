"""`batchsim serve` as a process of its own, and clients that know only its address."""

import http.client
import io
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tarfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

LINE = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
}
INPUT = json.dumps(LINE).encode() + b"\n"
SERVED = Path(__file__).parents[3] / "fixtures/jobs/served/job.tar.gz"
CREATE = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


class Server:
    """A running `batchsim serve`, known by what it printed."""

    def __init__(self, process):
        self.process = process
        self.printed = [process.stdout.readline().decode() for _ in range(2)]
        self.base_url = self.printed[0].strip().partition("=")[2]
        self.port = int(self.base_url.split(":")[2].split("/")[0])

    def send(self, method, target, value=None, key="sk-fake", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body = value if value is None or isinstance(value, bytes) else json.dumps(value)
        kind = headers.pop("kind", "application/json")
        try:
            named = {"Authorization": f"Bearer {key}", "Content-Type": kind}
            connection.request(method, target, body, named)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get(self, target):
        status, content = self.send("GET", target)
        assert status == 200, content
        return json.loads(content)

    def upload(self, content=INPUT):
        form = (
            b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--B\r\n'
            b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
            + content
            + b"\r\n--B--\r\n"
        )
        status, answer = self.send(
            "POST", "/v1/files", form, kind="multipart/form-data; boundary=B"
        )
        assert status == 200, answer
        return json.loads(answer)["id"]

    def create(self):
        status, answer = self.send(
            "POST", "/v1/batches", {**CREATE, "input_file_id": self.upload()}
        )
        assert status == 200, answer
        return json.loads(answer)["id"]

    def stop(self, number):
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def serve(process):
    """Start a server on a free port."""
    started = []

    @contextmanager
    def cleanly():
        yield
        for each in started:
            each.kill()
            each.communicate()

    def start(*arguments):
        started.append(process("serve", "--port", "0", *arguments))
        return Server(started[-1])

    with cleanly():
        yield start


def test_it_prints_what_a_shell_needs_and_nothing_else_on_stdout(serve):
    server = serve()
    assert server.printed == [
        f"export OPENAI_BASE_URL=http://127.0.0.1:{server.port}/v1\n",
        "export OPENAI_API_KEY=sk-fake\n",
    ]
    assert server.send("GET", "/v1/files")[0] == 200
    assert server.stop(signal.SIGTERM) == 0
    assert server.process.stdout.read() == b""
    said = server.process.stderr.read().decode()
    assert said == (
        f"Serving the simulator on http://127.0.0.1:{server.port} until Ctrl-C. Point clients here:\n"
        "verdict on 1 request: clean\n"
    )


def test_it_ends_with_a_verdict_for_each_key(serve):
    server = serve()
    server.upload()
    server.send("GET", "/v1/files", key="sk-other")
    assert server.stop(signal.SIGTERM) == 0
    _, first, finding, second = server.process.stderr.read().decode().splitlines()
    assert re.fullmatch(r"key \w{8}: verdict on 1 request: 1 finding: leaves_files", first)
    assert re.fullmatch(r"  leaves_files: 1 with purpose batch, such as file-\w+", finding)
    assert re.fullmatch(r"key \w{8}: verdict on 1 request: clean", second)


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="the system has no /proc")
def test_it_leaves_no_core_and_no_file_to_others(serve, desk):
    server = serve("--data", "data")
    server.upload()
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)
    kept = [desk / "data", *(desk / "data").rglob("*")]
    assert any(path.is_file() for path in kept)
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_stops_cleanly_with_clients_connected(serve, number, code):
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET /v1/files HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 401"
        assert server.stop(number) == code
    assert b"Traceback" not in server.process.stderr.read()


@pytest.mark.sdk
def test_the_official_client_runs_a_batch_and_sees_it_go(serve):
    import openai

    server = serve("--control", "--pacing", "today")
    with openai.OpenAI(base_url=server.base_url, api_key="sk-fake", max_retries=0) as client:
        file = client.files.create(file=("a.jsonl", io.BytesIO(INPUT)), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, **CREATE)
        seen = [batch.status]
        while batch.status != "completed":
            assert server.send("POST", "/_batchsim/clock", {"advance": 1})[0] == 200
            batch = client.batches.retrieve(batch.id)
            seen += [batch.status] if batch.status != seen[-1] else []
        assert seen == ["validating", "in_progress", "finalizing", "completed"]
        text = client.files.content(batch.output_file_id).text
    assert json.loads(text)["custom_id"] == "1"


def test_with_speed_hours_pass_in_seconds(serve):
    server = serve("--speed", "100000")
    batch = server.create()
    looks = 0
    while server.get(f"/v1/batches/{batch}")["status"] != "completed":
        looks += 1
        assert looks < 10_000
    assert server.get(f"/v1/batches/{batch}")["completed_at"] > 0


def test_what_was_acknowledged_outlives_a_sudden_death_and_time_does_not_go_back(serve, desk):
    arguments = ("--data", "data", "--pacing", "today", "--control")
    server = serve(*arguments)
    batch = server.create()
    later = json.loads(server.send("POST", "/_batchsim/clock", {"advance": 70})[1])["now"]
    before = server.get(f"/v1/batches/{batch}")
    assert before["status"] == "in_progress"
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL

    again = serve(*arguments)
    assert again.get("/_batchsim/clock")["now"] >= later
    assert again.get(f"/v1/files/{before['input_file_id']}")["bytes"] == len(INPUT)
    after = again.get(f"/v1/batches/{batch}")
    assert {name: after[name] for name in ("created_at", "in_progress_at", "input_file_id")} == {
        name: before[name] for name in ("created_at", "in_progress_at", "input_file_id")
    }
    again.send("POST", "/_batchsim/clock", {"advance": 86_400})
    assert again.get(f"/v1/batches/{batch}")["status"] == "completed"


def test_a_second_server_on_the_same_folder_is_refused(serve, batchsim, desk):
    serve("--data", "data")
    refused = batchsim_process(desk, "--port", "0", "--data", "data")
    assert refused.returncode == 2
    assert "data is in use by another server" in refused.stderr


def test_a_port_in_use_is_one_clear_error(serve, desk):
    port = serve().port
    refused = batchsim_process(desk, "--port", str(port))
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        f"error: port {port} of 127.0.0.1 is in use",
        "hint: stop the other server, or choose another port; --port 0 takes any free one",
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_machines_are_served_only_with_a_key(desk, host):
    refused = batchsim_process(desk, "--port", "0", "--host", host)
    assert refused.returncode == 2
    assert "--auth-token" in refused.stderr


def test_with_keys_only_they_are_let_in(serve):
    server = serve("--host", "0.0.0.0", "--auth-token", "sk-right")
    assert server.printed == [
        f"export OPENAI_BASE_URL=http://127.0.0.1:{server.port}/v1\n",
        "export OPENAI_API_KEY=YOUR_KEY\n",
    ]
    assert server.send("GET", "/v1/files", key="sk-wrong")[0] == 401
    assert server.send("GET", "/v1/files", key="sk-right")[0] == 200
    server.stop(signal.SIGTERM)
    said = server.process.stderr.read().decode()
    assert "list of processes" in said
    assert "sk-right" not in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--webhook-url", "http://127.0.0.1:1/"), "--webhook-secret"),
        (("--webhook-url", "nowhere", "--webhook-secret", "whsec_c2VjcmV0"), "nowhere"),
        (("--webhook-url", "http://127.0.0.1:1/", "--webhook-secret", "secret"), "whsec_"),
        (("--pacing", "slow"), "slow"),
        (("--speed", "0"), "--speed"),
        (("--speed", "nan"), "--speed"),
        (("--port", "70000"), "--port"),
        (("--host", "192.0.2.1", "--auth-token", "x"), "192.0.2.1"),
        (("--data", "/dev/null/x"), "/dev/null"),
    ],
)
def test_what_cannot_be_is_refused_with_one_message(desk, arguments, named):
    refused = batchsim_process(desk, "--port", "0", *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert named in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("lacking", "command"),
    [
        ("httptools", ("serve", "--port", "0")),
        ("multipart", ("serve", "--port", "0")),
        ("multipart", ("record", "--upstream", "http://127.0.0.1:9/v1", "--forward-auth")),
        ("multipart", ("run", "--real", "--webhook-port", "0", "in.jsonl", "-o", "out.jsonl")),
    ],
)
def test_without_the_extra_it_says_what_to_install(process, desk, monkeypatch, lacking, command):
    (desk / f"{lacking}.py").write_text(f"raise ImportError(name='{lacking}')")
    (desk / "in.jsonl").write_bytes(INPUT)
    monkeypatch.setenv("PYTHONPATH", f"{desk}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with process(*command, stdin=subprocess.DEVNULL) as refused:
        said, told = (each.decode() for each in refused.communicate(timeout=60))
    assert (refused.returncode, said) == (2, "")
    assert f"needs the package {lacking}, which is not installed" in told
    assert "hint: pip install 'batchsim[serve]'" in told


def batchsim_process(desk, *arguments, **environment):
    import sys

    return subprocess.run(
        [sys.executable, "-m", "batchsim", "serve", *arguments],
        cwd=desk,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_scenarios_can_be_listed(batchsim):
    outcome = batchsim("serve", "--scenario", "list")
    assert outcome.code == 0
    assert (
        "expired_partial     about half the lines have run when the window closes" in outcome.stdout
    )


def test_an_unknown_scenario_is_one_clear_error(batchsim):
    outcome = batchsim("serve", "--scenario", "sunshine")
    assert outcome.code == 2
    assert "there is no scenario called 'sunshine'" in outcome.stderr


def test_it_prints_the_address_as_json_when_asked(process):
    running = process("serve", "--port", "0", "--json")
    told = json.loads(running.stdout.readline())
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)
    assert set(told) == {"base_url", "api_key"}
    assert told["base_url"].startswith("http://127.0.0.1:")
    assert told["api_key"] == "sk-fake"


SECRET = b"what nobody may read through the server\n"


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_a_link(path):
    secret = path.parents[4] / "secret"
    secret.write_bytes(SECRET)
    path.unlink()
    path.symlink_to(secret)


def replace_by_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "a bit": flip_a_bit,
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "emptied": lambda path: path.write_bytes(b""),
    "another": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "link": replace_by_a_link,
    "pipe": replace_by_a_pipe,
    "folder": replace_by_a_folder,
    "gone": Path.unlink,
}


def damage_each(server, data):
    """Upload a file for each damage, and damage it. Return the ids of the files."""
    files = {name: server.upload() for name in DAMAGES}
    for name, file in files.items():
        (path,) = data.glob(f"keys/*/contents/{file}")
        DAMAGES[name](path)
    return files


def check_damaged(server, files, whole, desk):
    """Read every file: the damaged ones are refused, in the API's envelope."""
    for name, file in files.items():
        status, answer = server.send("GET", f"/v1/files/{file}/content")
        assert status == 500, name
        error = json.loads(answer)["error"]
        assert (error["type"], error["code"]) == ("server_error", "file_corrupt")
        assert file in error["message"]
        assert str(desk) not in error["message"]
    assert server.send("GET", f"/v1/files/{whole}/content") == (200, INPUT)


def check_log(server, files):
    """Stop the server. It told each damage once, and crashed nowhere."""
    assert server.stop(signal.SIGTERM) == 0
    said = server.process.stderr.read().decode()
    assert "Traceback" not in said
    for file in files.values():
        (line,) = [line for line in said.splitlines() if line.startswith("ERROR") and file in line]
        assert "is damaged: " in line


def test_a_content_that_was_damaged_on_the_disk_is_never_served(serve, desk):
    server = serve("--data", "data")
    whole = server.upload()
    files = damage_each(server, desk / "data")
    check_damaged(server, files, whole, desk)
    check_damaged(server, files, whole, desk)
    check_log(server, files)
    again = serve("--data", "data")
    check_damaged(again, files, whole, desk)
    check_log(again, files)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_batch_whose_input_was_damaged_ends_and_the_others_go_on(serve, desk, restarts):
    arguments = ("--data", "data", "--control", "--speed", "0.000001", "--pacing", "today")
    server = serve(*arguments)
    good = server.create()
    running = server.create()
    assert server.send("POST", "/_batchsim/clock", {"advance": 90})[0] == 200
    assert server.get(f"/v1/batches/{running}")["status"] == "in_progress"
    validating = server.create()
    for batch in (running, validating):
        file = server.get(f"/v1/batches/{batch}")["input_file_id"]
        (path,) = (desk / "data").glob(f"keys/*/contents/{file}")
        flip_a_bit(path)
    if restarts:
        server.process.kill()
        server.process.wait()
        server = serve(*arguments)
    assert server.send("POST", "/_batchsim/clock", {"advance": 2 * 86_400})[0] == 200
    assert server.get(f"/v1/batches/{good}")["status"] == "completed"
    failed = server.get(f"/v1/batches/{validating}")
    assert (failed["status"], failed["errors"]["data"][0]["code"]) == ("failed", "file_corrupt")
    ended = server.get(f"/v1/batches/{running}")
    if restarts:
        assert (ended["status"], ended["output_file_id"]) == ("expired", None)
        assert ended["errors"]["data"][0]["code"] == "file_corrupt"
    else:  # its lines were answered before the damage
        assert ended["status"] == "completed"
    assert server.stop(signal.SIGTERM) == 0
    assert b"Traceback" not in server.process.stderr.read()


def lose(folder):
    for path in folder.glob("records.sqlite*"):
        path.unlink()


def empty(folder):
    lose(folder)
    (folder / "records.sqlite").touch()


def lose_the_log(folder):
    (folder / "records.sqlite-wal").unlink()


def link(folder):
    (folder / "records.sqlite").rename(folder / "elsewhere")
    (folder / "records.sqlite").symlink_to(folder / "elsewhere")


def damage_a_record(folder):
    with closing(sqlite3.connect(folder / "records.sqlite")) as database:
        database.execute("UPDATE records SET value = '{' WHERE key LIKE 'file%'")
        database.commit()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lose, "records.sqlite is lost"),
        (empty, "records.sqlite is lost"),
        (lose_the_log, "records.sqlite is lost"),
        (link, "records.sqlite is a link"),
        (damage_a_record, "records.sqlite is damaged"),
    ],
)
def test_a_folder_whose_records_are_lost_is_refused_and_left_as_it_is(
    serve, desk, batchsim, damage, said
):
    server = serve("--data", "data")
    file = server.upload()
    server.process.kill()
    server.process.wait()
    (folder,) = (desk / "data" / "keys").iterdir()
    damage(folder)
    refused = batchsim_process(desk, "--port", "0", "--data", "data")
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "hint: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert (folder / "contents" / file).read_bytes() == INPUT


def test_a_folder_without_hashes_gets_them_at_its_first_start(serve, desk):
    with tarfile.open(SERVED) as archive:
        archive.extractall(desk, filter="data")
    contents = sorted(desk.glob("data/keys/*/contents/*"))
    before = [path.read_bytes() for path in contents]
    serve("--data", "data").stop(signal.SIGTERM)
    assert [path.read_bytes() for path in contents] == before
    for folder in (desk / "data" / "keys").iterdir():
        with closing(sqlite3.connect(folder / "records.sqlite")) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            rows = dict(database.execute("SELECT key, size FROM contents"))
        assert version == 2
        assert rows == {path.name: path.stat().st_size for path in (folder / "contents").iterdir()}


SLOW_VERDICT = """
import sys, threading
import batchsim.verdict
from batchsim.__main__ import main
batchsim.verdict.judge = lambda history: threading.Event().wait()
sys.exit(main())
"""


def test_it_ends_without_a_verdict_that_takes_too_long(process, desk):
    (desk / "slow.py").write_text(SLOW_VERDICT)
    started = process("serve", "--port", "0", "--data", "data", program=("slow.py",))
    server = Server(started)
    server.upload()
    assert server.stop(signal.SIGTERM) == 0
    said = started.stderr.read().decode().splitlines()
    started.stdout.close()
    started.stderr.close()
    assert said[1:] == ["the rest of the verdict is left out: it would take too long"]
