"""The official Node client over a port: that of April 2024, and the newest.

The clients come from the npm registry into `.node/`, once.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import filelock
import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.clock import SystemClock
from batchsim.wire import webhook_events
from tests.repository import ROOT

pytestmark = pytest.mark.node

PROGRAMS = Path(__file__).parent / "node"
CLIENTS = ROOT / ".node"
RELEASES = ("4.36.0", "latest")
SECONDS = 60
NPM_OPTIONS = ("--prefix", ".", "--ignore-scripts", "--fetch-timeout=30000", "--fetch-retries=2")


def lacking(reason):
    """Skip on a developer's machine, fail where everything must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def installed(release):
    """The folder of that release of the client, fetched unless it is there."""
    folder = CLIENTS / release
    ready = folder / "node_modules" / ".package-lock.json"  # written by npm when it is done
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / "lock"):
        if ready.exists():
            return folder
        npm = shutil.which("npm")
        if npm is None:
            lacking("there is no npm to fetch the Node client with")
        fetched = subprocess.run(
            [npm, "install", *NPM_OPTIONS, f"openai@{release}"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if fetched.returncode:
            lacking(f"npm could not fetch openai@{release}: {fetched.stderr.strip()[-200:]}")
    return folder


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


@pytest.fixture
def node(release, server, tmp_path):
    """`node("program.mjs", ...)` -> what it prints, run beside that release of the client."""
    return runner_of(release, server, tmp_path)


@pytest.fixture
def newest(server, tmp_path):
    """As `node`, for what the client could not do yet in 2024."""
    return runner_of("latest", server, tmp_path)


def runner_of(release, server, folder):
    binary = shutil.which("node")
    if binary is None:
        lacking("there is no node")
    modules = installed(release) / "node_modules"
    for program in PROGRAMS.glob("*.mjs"):
        shutil.copy(program, folder)
    (folder / "node_modules").symlink_to(modules)

    def run(program, *arguments, environment=None, **options):
        ended = subprocess.run(
            [binary, program, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **(environment or server.environment())},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            **options,
        )
        assert ended.returncode == 0, ended.stderr
        return ended

    return run


def test_the_translations_of_2024(release, demo_server, demo_file, demo_answers, tmp_path):
    ended = runner_of(release, demo_server, tmp_path)("translate.mjs", str(demo_file))
    lines = demo_file.read_text(encoding="utf-8").splitlines()
    sentences = [json.loads(line)["body"]["messages"][1]["content"] for line in lines]
    assert ended.stdout == "".join(
        f"{custom_id}:\n{sentence}\n->\n{translation}\n\n"
        for sentence, (custom_id, translation) in zip(sentences, demo_answers.items(), strict=True)
    )
    assert list(dict.fromkeys(ended.stderr.split())) == ["validating", "in_progress", "finalizing"]


def test_files_go_up_and_come_down(node):
    assert json.loads(node("files.mjs").stdout) == {
        "filename": "入力.jsonl",
        "same": True,
        "listed": True,
        "deleted": True,
    }


def test_a_content_is_read_piece_by_piece(node):
    told = json.loads(node("download.mjs").stdout)
    assert told.pop("pieces") > 1
    assert told == {
        "same": True,
        "length": True,
        "disposition": 'attachment; filename="input.jsonl"',
    }


def test_a_cancelled_batch_ends_cancelled(node):
    told = json.loads(node("cancel.mjs").stdout)
    assert told == {"statuses": ["cancelling", "cancelled"], "ordered": True}


def test_a_batch_of_embeddings(node):
    assert json.loads(node("embeddings.mjs").stdout) == {"alpha": 1_536, "beta": 1_536}


def test_single_requests(node):
    assert json.loads(node("chat.mjs").stdout) == {
        "object": "chat.completion",
        "role": "assistant",
        "said": True,
        "sizes": [1_536, 1_536],
        "refusal": {"class": "BadRequestError", "status": 400, "param": "messages"},
    }


def test_errors_have_their_classes_and_words(node):
    refusals = json.loads(node("errors.mjs").stdout)
    told = {
        name: (refusal["class"], refusal["param"], refusal["code"])
        for name, refusal in refusals.items()
    }
    assert told == {
        "unknown file": ("NotFoundError", "id", None),
        "unknown content": ("NotFoundError", "id", None),
        "wrong prefix": ("BadRequestError", "input_file_id", "invalid_value"),
        "wrong endpoint": ("BadRequestError", "endpoint", "invalid_value"),
        "unknown batch": ("NotFoundError", None, None),
        "ended batch": ("ConflictError", None, None),
        "another key's batch": ("NotFoundError", None, None),
    }
    assert {refusal["type"] for refusal in refusals.values()} == {"invalid_request_error"}
    assert refusals["unknown file"]["message"] == "404 No such File object: file-unknown"
    assert (
        refusals["ended batch"]["message"] == "409 Cannot cancel a batch with status 'completed'."
    )


def test_lists_page_by_themselves(newest):
    told = json.loads(newest("lists.mjs").stdout)
    assert told["listed"]["batches"] == told["made"]["batches"][::-1]
    assert told["listed"]["files"] == told["made"]["files"]
    assert (told["sizes"], told["more"]) == ([3, 2], [True, False])


def test_a_file_comes_in_parts(newest):
    told = json.loads(newest("uploads.mjs").stdout)
    assert told["statuses"] == ["pending", "completed"]
    assert told["parts"] > 1
    assert told["counts"] == {"total": 50, "completed": 50, "failed": 0}


def test_a_webhook_is_unwrapped_and_a_forged_one_is_not(newest, server):
    secret = "whsec_c2VjcmV0"
    clock = SystemClock()  # the client takes no event that is older than five minutes
    backend = FakeBackend(pacing="instant", clock=clock)
    backend.create_batch(input_file_id="file-unknown", endpoint="/v1/embeddings")
    (batch,) = backend.take_ended()
    body = webhook_events.event(batch)
    now = int(clock.now())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": webhook_events.sign(secret, "evt_1", now, body),
    }
    delivery = json.dumps({"headers": headers, "body": body.decode()})
    environment = server.environment() | {"OPENAI_WEBHOOK_SECRET": secret}
    ended = newest("webhook.mjs", environment=environment, input=delivery)
    assert json.loads(ended.stdout) == {
        "type": "batch.failed",
        "id": batch.id,
        "forged": "InvalidWebhookSignatureError",
    }
