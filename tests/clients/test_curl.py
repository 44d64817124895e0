"""curl over a port: what a shell script does."""

import json
import os
import shutil
import subprocess

import pytest


@pytest.fixture
def curl(server):
    """`curl(path, ...)` -> what comes back. Its arguments are those after the address."""
    return curl_to(server)


def curl_to(server):
    binary = shutil.which("curl")
    if binary is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no curl")
        pytest.skip("there is no curl")

    def run(path, *arguments, key="sk-fake"):
        ended = subprocess.run(
            [
                binary,
                *("--silent", "--show-error", "--max-time", "30", "--noproxy", "*"),
                f"{server.base_url}{path}",
                *("--header", f"Authorization: Bearer {key}"),
                *arguments,
            ],
            capture_output=True,
            check=True,
        )
        return ended.stdout

    return run


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_a_batch_by_curl(demo_server, demo_file, demo_answers, poll, by_custom_id, version):
    curl = curl_to(demo_server)

    def ask(path, *arguments):
        return json.loads(curl(path, version, *arguments))

    file = ask("/files", "--form", "purpose=batch", "--form", f"file=@{demo_file}")
    assert (file["filename"], file["bytes"]) == ("input.jsonl", demo_file.stat().st_size)
    order = {
        "input_file_id": file["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    kind = ("--header", "Content-Type: application/json")
    batch = ask("/batches", *kind, "--data", json.dumps(order))
    assert batch["status"] == "validating"
    done, seen = poll(lambda: ask(f"/batches/{batch['id']}"))
    assert seen == ["in_progress", "finalizing", "completed"]
    content = curl(f"/files/{done['output_file_id']}/content", version)
    assert by_custom_id(content) == demo_answers


def test_a_download_is_saved_under_its_own_name(curl, demo_file, tmp_path):
    upload = ("--form", "purpose=batch", "--form", f"file=@{demo_file}")
    file = json.loads(curl("/files", *upload))
    save = ("--remote-name", "--remote-header-name", "--output-dir", str(tmp_path))
    curl(f"/files/{file['id']}/content", *save)
    assert (tmp_path / "input.jsonl").read_bytes() == demo_file.read_bytes()


def test_an_upload_of_unknown_length_waits_for_leave_and_is_taken(curl, demo_file):
    """Chunked, behind `Expect: 100-continue`, as curl sends what it reads from a pipe."""
    arguments = ("--header", "Transfer-Encoding: chunked", "--header", "Expect: 100-continue")
    form = ("--form", "purpose=batch", "--form", f"file=@{demo_file}")
    file = json.loads(curl("/files", *arguments, *form))
    assert file["bytes"] == demo_file.stat().st_size


def test_head_shows_the_headers_alone(curl, demo_file):
    file = json.loads(curl("/files", "--form", "purpose=batch", "--form", f"file=@{demo_file}"))
    shown = curl(f"/files/{file['id']}/content", "--head").decode().lower()
    assert shown.startswith("http/1.1 200")
    assert f"content-length: {demo_file.stat().st_size}" in shown


def test_a_body_without_its_content_type_is_an_answer_not_a_crash(curl):
    """`curl -d` says application/x-www-form-urlencoded unless told otherwise."""
    answer = json.loads(curl("/batches", "--data", "{}"))
    assert answer["error"]["type"] == "invalid_request_error"
