"""The names of requests travel in two headers: for services that know such keys, and for their
logs.
"""

import io
import sqlite3

import pytest

from batchsim.errors import BatchsimError
from batchsim.runner.run import Policy, run

pytestmark = pytest.mark.sdk

HEADERS = ("idempotency-key", "x-client-request-id")
FILE = {"id": "file-1", "object": "file", "bytes": 2, "created_at": 1, "filename": "a.jsonl"}
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/embeddings",
    "input_file_id": "file-1",
    "status": "validating",
    "created_at": 1,
}


@pytest.fixture
def service(backend_answering, library):
    """A backend, and the two headers of each request that writes, by its path."""
    sent = {}

    def handler(request):
        if request.method == "GET":
            return library.Response(200, json={"object": "list", "data": [], "has_more": False})
        sent[request.url.path] = tuple(request.headers.get(name) for name in HEADERS)
        is_file = request.url.path.endswith("/files")
        told = {**FILE, "purpose": "batch"} if is_file else BATCH
        return library.Response(200 if is_file else 400, json=told)

    return backend_answering(handler)[0], sent


def test_both_headers_go_out_with_an_upload_and_with_a_create(service):
    backend, sent = service
    backend.upload_file(io.BytesIO(b"{}"), filename="a.jsonl", request_id="upload-7")
    with pytest.raises(BatchsimError):
        backend.create_batch(
            input_file_id="file-1", endpoint="/v1/embeddings", request_id="create-7"
        )
    assert sent == {"/v1/files": ("upload-7",) * 2, "/v1/batches": ("create-7",) * 2}


def test_a_request_without_a_name_has_no_such_key(service):
    backend, sent = service
    backend.upload_file(io.BytesIO(b"{}"), filename="a.jsonl")
    assert sent["/v1/files"][0] is None


def test_the_runner_names_both_and_its_journal_has_the_names(service, tmp_path):
    backend, sent = service
    line = (
        '{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", '
        '"body": {"model": "text-embedding-3-small", "input": "a"}}\n'
    )
    source = tmp_path / "input.jsonl"
    source.write_text(line)
    with pytest.raises(BatchsimError):
        run(source, backend, results=tmp_path / "r.jsonl", policy=Policy(alone=True))
    (upload, other), (create, same) = sent["/v1/files"], sent["/v1/batches"]
    assert (upload, create) == (other, same)
    assert upload != create
    journal = sqlite3.connect(tmp_path / "r.jsonl.job" / "journal.db")
    text = "\n".join(journal.iterdump())
    journal.close()
    assert f'"request_id":"{upload}"' in text
    assert f'"request_id":"{create}"' in text
