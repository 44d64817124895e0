"""Rows of the checklist about files."""

import dataclasses
import io
import re

import pytest

from batchsim.domain.limits import OPENAI
from batchsim.errors import NotFound, RateLimited, Refused

DAY = 86_400


def refusal(refused: pytest.ExceptionInfo[Refused]) -> tuple[int, str, str | None, str | None]:
    error = refused.value
    assert error.type == "invalid_request_error"
    return error.status, error.message, error.param, error.code


def test_row_022_a_file_called_upload_needs_no_extension(user, chats):
    assert user().upload(chats(1), "upload").filename == "upload"


@pytest.mark.parametrize("filename", ["notes.txt", "input.json", "archive.jsonl.gz", "input."])
def test_row_023_another_extension_is_refused(user, chats, filename):
    with pytest.raises(Refused) as refused:
        user().upload(chats(1), filename)
    assert refusal(refused) == (
        400,
        "Invalid file format for Batch API. Must be .jsonl",
        None,
        None,
    )


@pytest.mark.parametrize("filename", ["INPUT.JSONL", "日本語 <b>.jsonl", ".jsonl", "v1.2/upload"])
def test_row_024_only_the_extension_of_the_name_is_checked(user, chats, filename):
    assert user().upload(chats(1), filename).filename == filename


def test_an_upload_that_breaks_off_leaves_nothing(user, store):
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError

    someone = user(store=store)
    with pytest.raises(ConnectionResetError):
        someone.backend.upload_file(Broken(), filename="a.jsonl")
    assert someone.backend.list_files().data == ()
    assert store.contents() == []


@pytest.mark.parametrize(
    "content",
    [
        '{"a": 1}\n'.encode("utf-16"),
        b'{"a": 1}\n\xff\n',
        b'{"a": "\xed\xa0\x80"}\n',
        b'{"a": 1}\n' * 200_000 + b"\xe3\x81",
        b" " * ((1 << 20) - 2) + b"\xe3\x81" + b"{}\n",
    ],
    ids=["utf-16", "latin byte", "lone surrogate", "cut off at the end", "cut off by a block"],
)
def test_row_025_what_is_not_utf_8_is_refused_and_not_kept(user, content):
    someone = user()
    with pytest.raises(Refused) as refused:
        someone.upload(content)
    assert refusal(refused) == (
        400,
        "Invalid file for Batch API. Must be utf-8 encoded",
        None,
        None,
    )
    assert someone.backend.list_files().data == ()


def test_row_025_a_character_may_lie_across_two_blocks(user):
    content = b'{"a": "' + b"x" * ((1 << 20) - 8) + "日本語".encode() + b'"}'
    assert user().upload(content).bytes == len(content)


def test_row_026_an_empty_file_is_refused(user):
    with pytest.raises(Refused, match=r"Must be \.jsonl"):
        user().upload(b"")


@pytest.mark.parametrize("content", [b"hello\n{}\n", b"\n{}\n", b"{", b'{"a": NaN}'])
def test_row_027_a_first_line_that_is_no_json_is_refused(user, content):
    with pytest.raises(Refused, match=r"Must be \.jsonl"):
        user().upload(content)


def test_row_028_a_second_line_that_is_no_json_is_accepted(user, chats):
    assert user().upload(chats(1) + b"hello\n").status == "processed"


def test_row_029_a_line_without_method_is_accepted(user):
    assert user().upload(b'{"custom_id": "a"}\n').status == "processed"


def test_row_030_a_file_of_more_bytes_than_allowed_is_refused(user, chats):
    content = chats(1)
    limits = dataclasses.replace(OPENAI, input_file_bytes=len(content))
    someone = user(limits=limits)
    assert someone.upload(content).bytes == len(content)
    with pytest.raises(Refused) as refused:
        someone.upload(content + b"\n")
    assert refusal(refused) == (400, "File is too large.", None, None)


def test_row_030_reading_stops_soon_after_the_limit(user):
    class Endless(io.RawIOBase):
        served = 0

        def read(self, size: int = -1) -> bytes:
            self.served += size
            return b"1" * size

    content = Endless()
    with pytest.raises(Refused, match="too large"):
        user(limits=dataclasses.replace(OPENAI, input_file_bytes=10)).backend.upload_file(
            content, filename="a.jsonl"
        )
    assert content.served <= 1 << 20


@pytest.mark.parametrize("purpose", ["x", "", "batch_output", "Batch"])
def test_row_031_an_unknown_purpose_is_refused(user, chats, purpose):
    with pytest.raises(Refused) as refused:
        user().upload(chats(1), purpose=purpose)
    purposes = "['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals']"
    words = f"'{purpose}' is not one of {purposes} - 'purpose'"
    assert refusal(refused) == (400, words, "purpose", None)


def test_row_032_an_upload_is_processed_at_once(user, chats):
    assert user().upload(chats(1)).status == "processed"


def test_row_033_an_input_file_expires_after_thirty_days(user, chats):
    file = user().upload(chats(1))
    assert file.expires_at == file.created_at + 2_592_000


def test_row_033_a_file_of_another_purpose_stays(user):
    assert user().upload(b"anything", "a.pdf", purpose="user_data").expires_at is None


@pytest.mark.parametrize("seconds", [3_600, 2_592_000])
def test_row_034_a_lifetime_is_honoured(user, chats, seconds):
    someone = user()
    file = someone.upload(chats(1), expires_after=seconds)
    assert file.expires_at == file.created_at + seconds
    someone.backend.clock.sleep(seconds - 1)
    assert someone.backend.retrieve_file(file.id) == file
    someone.backend.clock.sleep(1)
    with pytest.raises(NotFound):
        someone.backend.retrieve_file(file.id)


@pytest.mark.parametrize(
    ("seconds", "code", "words"),
    [
        (3_599, "integer_below_min_value", "Expected a value >= 3600, but got 3599 instead."),
        (2_592_001, "integer_above_max_value", "Expected a value <= 2592000, but got 2592001"),
        ("1 h", "invalid_type", "expected an integer, but got a string instead."),
        (True, "invalid_type", "expected an integer, but got a boolean instead."),
    ],
)
def test_row_034_a_lifetime_out_of_range_is_refused(user, chats, seconds, code, words):
    with pytest.raises(Refused) as refused:
        user().upload(chats(1), expires_after=seconds)
    assert (refused.value.param, refused.value.code) == ("expires_after.seconds", code)
    assert words in refused.value.message


def test_row_037_a_file_id_is_22_characters_of_base58(user, chats):
    someone = user()
    ids = {someone.upload(chats(1)).id for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"file-[1-9A-HJ-NP-Za-km-z]{22}", each) for each in ids)


def test_row_038_bytes_is_the_size_of_the_content(user, chats):
    assert user().upload(chats(7)).bytes == len(chats(7))


@pytest.mark.parametrize("method", ["retrieve_file", "delete_file", "read_file"])
def test_row_039_an_unknown_file_is_not_found(user, method):
    with pytest.raises(NotFound) as refused:
        list(getattr(user().backend, method)("file-unknown") or ())
    assert refusal(refused) == (404, "No such File object: file-unknown", "id", None)


def test_row_040_a_deleted_file_is_gone(user, chats, store):
    someone = user(store=store)
    file = someone.upload(chats(1))
    someone.backend.delete_file(file.id)
    for gone in ("retrieve_file", "delete_file"):
        with pytest.raises(NotFound):
            getattr(someone.backend, gone)(file.id)
    assert store.contents() == []


def test_row_041_files_are_listed_newest_first(user, chats):
    someone = user()
    ids = [someone.upload(chats(1)).id for _ in range(5)]
    files = someone.backend.list_files()
    assert [file.id for file in files.data] == ids[::-1]
    assert not files.has_more
    assert [file.id for file in someone.backend.list_files(order="asc").data] == ids


def test_row_041_pages_follow_each_other_without_gap(user, chats):
    someone = user()
    ids = [someone.upload(chats(1)).id for _ in range(5)]
    first = someone.backend.list_files(limit=2, order="asc")
    second = someone.backend.list_files(limit=2, order="asc", after=first.data[-1].id)
    third = someone.backend.list_files(limit=2, order="asc", after=second.data[-1].id)
    assert [file.id for page in (first, second, third) for file in page.data] == ids
    assert [page.has_more for page in (first, second, third)] == [True, True, False]
    assert someone.backend.list_files(after=ids[0]).data == ()


def test_row_041_the_list_can_be_narrowed_to_a_purpose(user, chats):
    someone = user()
    first = someone.upload(chats(1))
    other = someone.upload(b"%PDF", "a.pdf", purpose="user_data")
    second = someone.upload(chats(1))
    page = someone.backend.list_files(purpose="batch", limit=1)
    assert (page.data, page.has_more) == ((second,), True)
    assert someone.backend.list_files(purpose="batch", after=other.id).data == (first,)
    assert someone.backend.list_files(purpose="vision").data == ()


@pytest.mark.parametrize(
    ("limit", "code"),
    [(0, "integer_below_min_value"), (10_001, "integer_above_max_value"), ("9", "invalid_type")],
)
def test_row_041_a_limit_out_of_range_is_refused(user, limit, code):
    with pytest.raises(Refused) as refused:
        user().backend.list_files(limit=limit)
    assert (refused.value.param, refused.value.code) == ("limit", code)


def test_row_041_an_unknown_order_is_refused(user):
    with pytest.raises(Refused, match="Invalid value: 'up'") as refused:
        user().backend.list_files(order="up")
    assert refused.value.param == "order"


def test_row_041_a_cursor_that_is_gone_is_not_found(user, chats):
    someone = user()
    file = someone.upload(chats(1))
    someone.backend.delete_file(file.id)
    with pytest.raises(NotFound, match="No such File object"):
        someone.backend.list_files(after=file.id)


def test_row_043_result_files_are_listed_as_batch_output(user, chats):
    someone = user()
    batch = someone.finish(chats(2))
    (listed,) = someone.backend.list_files(purpose="batch_output").data
    assert listed.id == batch.output_file_id
    assert listed.bytes == len(someone.read(listed.id))
    someone.backend.delete_file(listed.id)
    with pytest.raises(NotFound):
        someone.read(listed.id)


def test_row_045_an_input_file_reads_back_byte_for_byte(user, store):
    content = '{"a": "\u2028ü"}\r\n\n\n{ bad'.encode() + bytes(3_000_000).replace(b"\0", b"z")
    someone = user(store=store)
    file = someone.upload(content)
    pieces = list(someone.backend.read_file(file.id))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 1 << 20


@pytest.mark.parametrize("purpose", ["user_data", "assistants"])
def test_row_046_user_data_cannot_be_read_back(user, purpose):
    someone = user()
    file = someone.upload(b"secret", "a.pdf", purpose=purpose)
    with pytest.raises(Refused) as refused:
        someone.read(file.id)
    words = f"Not allowed to download files of purpose: {purpose}"
    assert refusal(refused) == (400, words, None, None)


def test_row_047_an_expired_file_is_gone_from_everywhere(user, chats, store):
    someone = user(store=store)
    file = someone.upload(chats(1), expires_after=3_600)
    someone.backend.clock.sleep(3_600)
    assert someone.backend.list_files().data == ()
    with pytest.raises(NotFound):
        someone.read(file.id)
    assert store.contents() == []


def test_row_049_the_1001st_upload_in_a_minute_is_rate_limited(user, chats):
    someone = user(limits=dataclasses.replace(OPENAI, uploads_per_minute=3))
    for _ in range(3):
        someone.upload(chats(1))
    someone.backend.clock.sleep(20)
    with pytest.raises(RateLimited) as refused:
        someone.upload(chats(1))
    error = refused.value
    assert (error.status, error.type, error.code) == (429, "requests", "rate_limit_exceeded")
    assert error.retry_after == 40
    someone.backend.clock.sleep(error.retry_after)
    someone.upload(chats(1))
    assert OPENAI.uploads_per_minute == 1_000


def test_row_050_deleting_the_input_while_validating_fails_the_batch(user, chats):
    someone = user(organization="org-1")
    batch = someone.start(chats(1))
    someone.backend.delete_file(batch.input_file_id)
    batch = someone.look(batch, after=DAY)
    assert batch.status == "failed"
    assert [error.message for error in batch.errors] == [
        f"Cannot find file {batch.input_file_id}, or organization org-1 does not have access to it."
    ]


def test_deleting_the_input_later_has_no_effect(user, chats, store):
    someone = user(store=store)
    batch = someone.look(someone.start(chats(3)), after=70)
    assert batch.status == "in_progress"
    someone.backend.delete_file(batch.input_file_id)
    batch = someone.look(batch, after=DAY)
    assert len(someone.results(batch.output_file_id)) == 3
    assert store.contents() == [batch.output_file_id]


def test_row_142_result_files_are_gone_after_thirty_days(user, chats):
    someone = user()
    batch = someone.finish(chats(1))
    someone.backend.clock.sleep(30 * DAY)
    with pytest.raises(NotFound, match="No such File object"):
        someone.read(batch.output_file_id)
    assert someone.look(batch).output_file_id == batch.output_file_id
