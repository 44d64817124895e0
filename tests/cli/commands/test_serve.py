"""`batchsim serve` as a process of its own, and clients that know only its address."""

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

LINE = {
    "custom_id": "1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]},
}
INPUT = json.dumps(LINE).encode() + b"\n"
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
