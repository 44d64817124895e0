"""The promises of a Backend about files."""
# ruff: noqa: S101 - a contract is made of assertions

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from batchsim.backends import Backend
from batchsim.errors import NotFound, Refused, UsageError
from batchsim.testing.contract.inputs import OneWay, input_lines, upload

CONTENTS = {
    "one line": input_lines(1, model="gpt-4o-mini"),
    "no newline at the end": input_lines(2, model="gpt-4o-mini").rstrip(),
    "CRLF": input_lines(3, model="gpt-4o-mini").replace(b"\n", b"\r\n"),
    "non-ASCII": '{"custom_id": "é日本\U0001f600\u2028"}\n'.encode(),
    "looks like a form": (
        b'{"a": 1}\n\r\n--boundary\r\nContent-Disposition: form-data\r\n\r\n--\r\n'
    ),
    "5 MB": input_lines(40, model="gpt-4o-mini", text="x" * 131_072),
}
SAMPLE = CONTENTS["non-ASCII"]


class FileContract:
    """Files: what goes up comes down, is listed, and is gone once deleted."""

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend under test: override this."""
        raise NotImplementedError("override the fixture `backend`")

    @pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
    def test_content_comes_back_byte_for_byte(self, backend: Backend, content: bytes) -> None:
        """In pieces that are neither empty nor larger than 1 MiB."""
        file = upload(backend, content)
        pieces = list(backend.read_file(file.id))
        assert b"".join(pieces) == content
        assert all(0 < len(piece) <= 1 << 20 for piece in pieces)
        assert file.bytes == len(content)

    def test_upload_starts_where_the_content_stands(self, backend: Backend) -> None:
        stream = io.BytesIO(b"skipped" + CONTENTS["5 MB"])
        stream.seek(len(b"skipped"))
        file = backend.upload_file(stream, filename="input.jsonl")
        assert b"".join(backend.read_file(file.id)) == CONTENTS["5 MB"]

    def test_upload_takes_a_stream_that_cannot_seek(self, backend: Backend) -> None:
        content = CONTENTS["CRLF"]
        file = backend.upload_file(OneWay(content, 7), filename="input.jsonl")  # type: ignore[arg-type]
        assert b"".join(backend.read_file(file.id)) == content

    @pytest.mark.parametrize(
        "content",
        [SAMPLE, "input.jsonl", io.StringIO("{}"), None],
        ids=["bytes", "path", "text", "nothing"],
    )
    def test_a_content_that_gives_no_bytes_is_not_sent(
        self, backend: Backend, content: object
    ) -> None:
        """The usual slips: bytes, a path, and a file that is open for reading text."""
        newest = backend.list_files(limit=1)
        with pytest.raises(UsageError, match="no file open for reading bytes"):
            backend.upload_file(content, filename="input.jsonl")  # type: ignore[arg-type]
        assert backend.list_files(limit=1) == newest

    def test_a_filename_that_is_no_text_is_not_sent(self, backend: Backend) -> None:
        """Half a surrogate pair, as odd names of a file system become in Python."""
        newest = backend.list_files(limit=1)
        with pytest.raises(UsageError):
            upload(backend, SAMPLE, "input\udcff.jsonl")
        assert backend.list_files(limit=1) == newest

    @pytest.mark.parametrize("identifier", [None, 5, [], {}, b"file-1", object(), "file-\ud800"])
    def test_an_id_that_is_no_text_is_not_sent(self, backend: Backend, identifier: Any) -> None:
        for ask in (backend.retrieve_file, backend.delete_file):
            with pytest.raises(UsageError):
                ask(identifier)
        pieces = backend.read_file(identifier)
        with pytest.raises(UsageError):
            next(pieces)

    @pytest.mark.parametrize("changes", [{"after": 5}, {"after": []}, {"purpose": []}], ids=str)
    def test_a_page_that_nobody_can_ask_for_is_not_sent(
        self, backend: Backend, changes: dict[str, Any]
    ) -> None:
        with pytest.raises(UsageError):
            backend.list_files(**changes)

    def test_upload_answers_with_the_file(self, backend: Backend) -> None:
        before = int(backend.clock.now())
        file = upload(backend, SAMPLE, "an input é.jsonl")
        assert (file.filename, file.purpose) == ("an input é.jsonl", "batch")
        assert before - 1 <= file.created_at <= backend.clock.now() + 1
        assert backend.retrieve_file(file.id) == file

    def test_a_lifetime_is_kept(self, backend: Backend) -> None:
        file = backend.upload_file(io.BytesIO(SAMPLE), filename="input.jsonl", expires_after=3_600)
        assert file.expires_at == file.created_at + 3_600
        backend.clock.sleep(3_601)
        with pytest.raises(NotFound):
            backend.retrieve_file(file.id)

    def test_files_are_listed_newest_first(self, backend: Backend) -> None:
        ids = _upload_three(backend)
        newest = [file.id for file in backend.list_files(purpose="batch", limit=3).data]
        assert newest == ids[::-1]
        oldest = [file.id for file in backend.list_files(purpose="batch", order="asc").data]
        assert oldest[-3:] == ids

    def test_pages_of_files_join_without_gap_or_repeat(self, backend: Backend) -> None:
        _upload_three(backend)
        whole = backend.list_files()
        joined = [first := backend.list_files(limit=1)]
        while joined[-1].has_more and len(joined) <= len(whole.data):
            joined.append(backend.list_files(limit=1, after=joined[-1].data[-1].id))
        assert first.has_more
        assert [file for page in joined for file in page.data] == list(whole.data)

    def test_the_list_of_files_can_be_filtered_by_purpose(self, backend: Backend) -> None:
        upload(backend, SAMPLE)
        other = backend.upload_file(io.BytesIO(SAMPLE), filename="notes.txt", purpose="user_data")
        assert [file.id for file in backend.list_files(purpose="user_data", limit=1).data] == [
            other.id
        ]
        assert other.id not in [file.id for file in backend.list_files(purpose="batch").data]

    def test_a_deleted_file_is_gone(self, backend: Backend) -> None:
        file = upload(backend, SAMPLE)
        backend.delete_file(file.id)
        with pytest.raises(NotFound):
            backend.retrieve_file(file.id)
        with pytest.raises(NotFound):
            next(backend.read_file(file.id))
        with pytest.raises(NotFound):
            backend.delete_file(file.id)
        assert file.id not in [each.id for each in backend.list_files().data]

    @pytest.mark.parametrize(
        "identifier", ["file-1111111111111111111111", "file-é/../x?y#z%00", "..", ""]
    )
    def test_an_unknown_file_is_not_found(self, backend: Backend, identifier: str) -> None:
        """A read finds out when the first piece is asked for."""
        with pytest.raises(NotFound):
            backend.retrieve_file(identifier)
        with pytest.raises(NotFound):
            backend.delete_file(identifier)
        pieces = backend.read_file(identifier)
        with pytest.raises(NotFound):
            next(pieces)

    @pytest.mark.parametrize(
        ("content", "filename", "purpose"),
        [
            (SAMPLE, "input.jsonl", "no-such-purpose"),
            (SAMPLE, "notes.txt", "batch"),
            (b"", "input.jsonl", "batch"),
            ('{"a": "é"}'.encode("utf-16"), "input.jsonl", "batch"),
        ],
        ids=["purpose", "name", "empty", "not UTF-8"],
    )
    def test_after_a_refused_upload_nothing_is_stored(
        self, backend: Backend, content: bytes, filename: str, purpose: str
    ) -> None:
        before = backend.list_files()
        with pytest.raises(Refused):
            backend.upload_file(io.BytesIO(content), filename=filename, purpose=purpose)
        assert backend.list_files() == before

    @pytest.mark.parametrize("limit", [0, -1, 10_001])
    def test_a_page_of_files_has_1_to_10000(self, backend: Backend, limit: int) -> None:
        with pytest.raises(Refused):
            backend.list_files(limit=limit)

    def test_a_read_may_be_left_before_its_end(self, backend: Backend) -> None:
        file = upload(backend, CONTENTS["5 MB"])
        pieces = backend.read_file(file.id)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        assert b"".join(backend.read_file(file.id)) == CONTENTS["5 MB"]

    def test_threads_may_upload_at_once(self, backend: Backend) -> None:
        with ThreadPoolExecutor(4) as threads:
            files = list(threads.map(lambda _: upload(backend, SAMPLE), range(12)))
        assert len({file.id for file in files}) == 12
        assert {b"".join(backend.read_file(file.id)) for file in files} == {SAMPLE}


def _upload_three(backend: Backend) -> list[str]:
    ids = []
    for number in range(3):
        ids.append(upload(backend, SAMPLE, f"{number}.jsonl").id)
        backend.clock.sleep(1)
    return ids
