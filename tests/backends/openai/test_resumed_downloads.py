"""A content that is read on from where it broke off, at services that heed a Range
and that do not.
"""

import pytest

from batchsim.backends import Resumes
from batchsim.backends.fake import FakeBackend, Faults, RequestFault
from batchsim.backends.openai import OpenAIBackend
from batchsim.errors import NotFound, Refused, TransferBroken
from batchsim.runner.run import run
from batchsim.wire import App

pytestmark = pytest.mark.sdk

CONTENT = bytes(range(256)) * 20
START = 1_000


def rest_of_file(backend, start=START):
    return b"".join(backend.read_file_from("file-1", start))


def test_the_rest_is_asked_for_uncompressed_and_taken_as_it_comes(backend_answering, library):
    def answer(request):
        assert request.headers["range"] == f"bytes={START}-"
        assert request.headers["accept-encoding"] == "identity"
        place = {"content-range": f"bytes {START}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        return library.Response(206, content=iter([CONTENT[START:]]), headers=place)

    backend, paths = backend_answering(answer)
    assert isinstance(backend, Resumes)
    assert rest_of_file(backend) == CONTENT[START:]
    assert paths == {"GET /v1/files/file-1/content": 1}


@pytest.mark.parametrize("at_once", [1, 999, 1_000, 1_001, 10_000])
def test_where_all_of_it_comes_again_the_beginning_is_skipped(backend_answering, library, at_once):
    pieces = [CONTENT[at : at + at_once] for at in range(0, len(CONTENT), at_once)]
    backend, _ = backend_answering(lambda _: library.Response(200, content=iter(pieces)))
    assert rest_of_file(backend) == CONTENT[START:]


@pytest.mark.parametrize(
    "place",
    [None, "bytes 0-99/5120", "bytes 10000-10099/5120", "items 1000-5119/5120", "junk", ""],
)
def test_another_part_than_was_asked_for_is_no_content(backend_answering, library, place):
    headers = {} if place is None else {"content-range": place}
    backend, _ = backend_answering(
        lambda _: library.Response(206, content=CONTENT, headers=headers)
    )
    with pytest.raises(TransferBroken, match="another part"):
        rest_of_file(backend)


def test_a_rest_that_breaks_off_is_broken(backend_answering, library):
    headers = {"content-range": "bytes 1000-5119/5120", "content-length": "4120"}
    stream = iter([CONTENT[START:2_000]])
    backend, _ = backend_answering(lambda _: library.Response(206, content=stream, headers=headers))
    with pytest.raises(TransferBroken, match="1,000 of 4,120 bytes"):
        rest_of_file(backend)


@pytest.mark.parametrize(("status", "error"), [(416, Refused), (404, NotFound)])
def test_a_refusal_keeps_its_status(backend_answering, library, status, error):
    backend, _ = backend_answering(
        lambda _: library.Response(status, json={"error": {"message": "No."}})
    )
    with pytest.raises(error) as raised:
        rest_of_file(backend)
    assert raised.value.status == status


@pytest.mark.parametrize("heeds_ranges", [True, False])
def test_case_073_a_download_that_is_cut_goes_on_over_a_port(tmp_path, heeds_ranges):
    import json

    import openai

    from batchsim.server.serve import running

    cuts = RequestFault("truncated", call="read_file", nth=(1, 2), at_byte=3_000)
    fake = FakeBackend(seed=1, pacing="quick", faults=Faults(requests=(cuts,)))
    asked, moved = [], []

    class Watched(App):
        def handle(self, request):
            answer = super().handle(request)
            if request.path.endswith("/content"):
                asked.append(request.header("range"))
                moved.append((answer.status, int(answer.header("content-length"))))
            return answer

    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    source = tmp_path / "input.jsonl"
    ids = [f"id-{n}" for n in range(20)]
    source.write_text("".join(json.dumps({"custom_id": each, **line}) + "\n" for each in ids))
    with (
        running(Watched(fake, heeds_ranges=heeds_ranges)) as address,
        openai.OpenAI(api_key="sk-any", base_url=f"{address}/v1") as client,
    ):
        backend = OpenAIBackend(client, clock=fake.clock)
        assert run(source, backend, results=tmp_path / "results.jsonl").all_ok
    (output,) = fake.list_files(purpose="batch_output").data
    kept = tmp_path / "results.jsonl.job" / "shards" / "0001.output.jsonl"
    assert kept.read_bytes() == b"".join(fake.undisturbed.read_file(output.id))
    starts = [int((each or "bytes=0-")[len("bytes=") : -1]) for each in asked]
    assert starts == [0, 3_000, 3_000]
    if heeds_ranges:
        assert moved == [(206 if start else 200, output.bytes - start) for start in starts]
    else:
        assert moved == [(200, output.bytes)] * len(starts)
