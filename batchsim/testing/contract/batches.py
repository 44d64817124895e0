"""The promises of a Backend about batches."""
# ruff: noqa: S101 - a contract is made of assertions

from itertools import pairwise
from typing import Any

import pytest

from batchsim.backends import Backend
from batchsim.domain.batches import Batch, RequestCounts
from batchsim.domain.lifecycle import Status
from batchsim.errors import Conflict, NotFound, Refused, UsageError
from batchsim.testing.contract.inputs import (
    ENDPOINT,
    POLL_SECONDS,
    input_lines,
    result_lines,
    start,
    upload,
    watch,
)

ORDER = (Status.VALIDATING, Status.IN_PROGRESS, Status.FINALIZING, Status.CANCELLING)


class BatchContract:
    """Batches: they start, move forward only, end, and account for every line."""

    model = "gpt-4o-mini"

    @pytest.fixture
    def backend(self) -> Backend:
        """The backend under test: override this."""
        raise NotImplementedError("override the fixture `backend`")

    def test_a_created_batch_is_validating_and_visible_at_once(self, backend: Backend) -> None:
        file = upload(backend, input_lines(1, model=self.model))
        now = int(backend.clock.now())
        batch = backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT)
        assert batch.status is Status.VALIDATING
        assert (batch.input_file_id, batch.endpoint) == (file.id, ENDPOINT)
        assert (batch.completion_window, batch.metadata) == ("24h", None)
        assert batch.request_counts == RequestCounts()
        assert (batch.output_file_id, batch.error_file_id, batch.errors) == (None, None, ())
        assert now - 1 <= batch.created_at <= backend.clock.now() + 1
        assert batch.expires_at == batch.created_at + 86_400
        assert backend.retrieve_batch(batch.id).id == batch.id
        assert backend.list_batches(limit=1).data[0].id == batch.id

    def test_metadata_comes_back(self, backend: Backend) -> None:
        file = upload(backend, input_lines(1, model=self.model))
        metadata = {"job": "42", "é": "日本 \U0001f600", "empty": "", "k" * 64: "v" * 512}
        batch = backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT, metadata=metadata)
        assert batch.metadata == metadata
        assert backend.retrieve_batch(batch.id).metadata == metadata
        assert backend.list_batches(limit=1).data[0].metadata == metadata

    @pytest.mark.parametrize("metadata", [{"job": "\ud800"}, {"\ud800": ""}])
    def test_metadata_that_is_no_text_is_not_sent(
        self, backend: Backend, metadata: dict[str, str]
    ) -> None:
        """Half a surrogate pair cannot be sent, so the outcome is known."""
        file = upload(backend, input_lines(1, model=self.model))
        newest = backend.list_batches(limit=1)
        with pytest.raises(UsageError):
            backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT, metadata=metadata)
        assert backend.list_batches(limit=1) == newest

    def test_a_batch_completes_and_accounts_for_every_line(self, backend: Backend) -> None:
        seen = watch(backend, start(backend, 20, model=self.model).id)
        for earlier, later in pairwise(seen):
            assert _rank(earlier) <= _rank(later)
            assert earlier.request_counts.completed <= later.request_counts.completed
        done = seen[-1]
        assert done.status is Status.COMPLETED
        assert done.request_counts.total == 20
        assert done.request_counts.completed + done.request_counts.failed == 20
        _assert_times_in_order(done)
        good = result_lines(backend, done.output_file_id)
        bad = result_lines(backend, done.error_file_id)
        assert len(good) == done.request_counts.completed
        assert _custom_ids(good + bad) == sorted(f"request-{number}" for number in range(1, 21))
        assert all(line["response"]["status_code"] == 200 for line in good)

    def test_result_files_are_files(self, backend: Backend) -> None:
        file = upload(backend, input_lines(2, model=self.model))
        batch = backend.create_batch(
            input_file_id=file.id, endpoint=ENDPOINT, output_expires_after=7_200
        )
        done = watch(backend, batch.id)[-1]
        assert done.output_file_id is not None
        output = backend.retrieve_file(done.output_file_id)
        assert output.purpose == "batch_output"
        assert output.expires_at == output.created_at + 7_200
        assert output.bytes == len(b"".join(backend.read_file(output.id)))
        assert output in backend.list_files(purpose="batch_output").data

    def test_an_ended_batch_stays_as_it_is(self, backend: Backend) -> None:
        done = watch(backend, start(backend, 1, model=self.model).id)[-1]
        with pytest.raises(Conflict):
            backend.cancel_batch(done.id)
        backend.clock.sleep(2 * 86_400)
        assert backend.retrieve_batch(done.id) == done

    def test_a_bad_line_fails_the_batch_before_anything_runs(self, backend: Backend) -> None:
        """The error names the line; nothing is counted, and there are no result files."""
        content = input_lines(1, model=self.model) + b'{"broken\n'
        file = upload(backend, content)
        batch = backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT)
        failed = watch(backend, batch.id)[-1]
        assert failed.status is Status.FAILED
        assert failed.failed_at is not None
        assert ("invalid_json_line", 2) in [(each.code, each.line) for each in failed.errors]
        assert failed.request_counts == RequestCounts()
        assert (failed.output_file_id, failed.error_file_id) == (None, None)

    def test_a_batch_without_its_input_file_fails(self, backend: Backend) -> None:
        """The file was deleted during validation, or was never there."""
        file = upload(backend, input_lines(1, model=self.model))
        batch = backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT)
        if backend.retrieve_batch(batch.id).status is not Status.VALIDATING:
            pytest.skip("this backend validates at once")
        backend.delete_file(file.id)
        assert watch(backend, batch.id)[-1].status is Status.FAILED

    def test_a_batch_cancelled_at_once_ends_cancelled(self, backend: Backend) -> None:
        batch = start(backend, 3, model=self.model)
        cancelling = backend.cancel_batch(batch.id)
        if cancelling.status is Status.CANCELLED:
            pytest.skip("this backend cancels at once")
        assert cancelling.status is Status.CANCELLING
        assert backend.cancel_batch(batch.id).cancelling_at == cancelling.cancelling_at
        cancelled = watch(backend, batch.id)[-1]
        assert cancelled.status is Status.CANCELLED
        assert backend.cancel_batch(batch.id) == cancelled
        _assert_times_in_order(cancelled)

    def test_a_batch_cancelled_while_running_keeps_what_is_done(self, backend: Backend) -> None:
        """Each line is in exactly one of the files; lines that never ran are not failed."""
        batch = start(backend, 50, model=self.model)
        while batch.request_counts.completed < 5 and not batch.status.is_terminal:
            backend.clock.sleep(POLL_SECONDS)
            batch = backend.retrieve_batch(batch.id)
        if batch.status is not Status.IN_PROGRESS:
            pytest.skip("this backend is too quick to be cancelled while it runs")
        backend.cancel_batch(batch.id)
        cancelled = watch(backend, batch.id)[-1]
        assert cancelled.status is Status.CANCELLED
        counts = cancelled.request_counts
        good = result_lines(backend, cancelled.output_file_id)
        rest = result_lines(backend, cancelled.error_file_id)
        assert 5 <= len(good) == counts.completed < 50
        assert _custom_ids(good + rest) == sorted(f"request-{number}" for number in range(1, 51))
        unrun = [line for line in rest if line["response"] is None]
        assert {line["error"]["code"] for line in unrun} == {"batch_cancelled"}
        assert counts.failed == len(rest) - len(unrun)

    @pytest.mark.parametrize(
        "changes",
        [
            {"endpoint": "/v1/no-such-endpoint"},
            {"endpoint": ENDPOINT + "/"},
            {"completion_window": "48h"},
            {"input_file_id": "no-file"},
            {"metadata": {str(number): "" for number in range(17)}},
            {"metadata": {"k" * 65: ""}},
            {"metadata": {"k": "v" * 513}},
            {"metadata": {"k": 1}},
            {"output_expires_after": 3_599},
            {"output_expires_after": 2_592_001},
        ],
        ids=str,
    )
    def test_after_a_refused_creation_there_is_no_batch(
        self, backend: Backend, changes: dict[str, Any]
    ) -> None:
        """Refused means that nothing happened, and that nothing will be paid."""
        file = upload(backend, input_lines(1, model=self.model))
        before = backend.list_batches()
        with pytest.raises(Refused) as refusal:
            backend.create_batch(**{"input_file_id": file.id, "endpoint": ENDPOINT, **changes})
        assert refusal.value.status == 400
        assert refusal.value.param is not None
        assert backend.list_batches() == before

    @pytest.mark.parametrize(
        "identifier", ["batch_00000000000000000000000000000000", "batch-é/../x?y#z%00"]
    )
    def test_an_unknown_batch_is_not_found(self, backend: Backend, identifier: str) -> None:
        with pytest.raises(NotFound):
            backend.retrieve_batch(identifier)
        with pytest.raises(NotFound):
            backend.cancel_batch(identifier)

    @pytest.mark.parametrize("identifier", [None, 5, [], {}, b"batch_1", object(), "batch_\ud800"])
    def test_an_id_of_a_batch_that_is_no_text_is_not_sent(
        self, backend: Backend, identifier: Any
    ) -> None:
        for ask in (backend.retrieve_batch, backend.cancel_batch):
            with pytest.raises(UsageError):
                ask(identifier)

    @pytest.mark.parametrize("after", [5, []])
    def test_a_page_of_batches_begins_after_an_id(self, backend: Backend, after: Any) -> None:
        with pytest.raises(UsageError):
            backend.list_batches(after=after)

    @pytest.mark.parametrize("name", ["input_file_id", "endpoint", "completion_window", "metadata"])
    @pytest.mark.parametrize("value", [5, [], object()], ids=["number", "list", "object"])
    def test_a_creation_with_a_value_of_another_kind_creates_nothing(
        self, backend: Backend, name: str, value: Any
    ) -> None:
        file = upload(backend, input_lines(1, model=self.model))
        before = backend.list_batches()
        with pytest.raises((Refused, UsageError)):
            backend.create_batch(**{"input_file_id": file.id, "endpoint": ENDPOINT, name: value})
        assert backend.list_batches() == before

    def test_batches_may_share_their_input_file(self, backend: Backend) -> None:
        """There is no idempotency: two calls make two batches."""
        file = upload(backend, input_lines(1, model=self.model))
        first, second = (
            backend.create_batch(input_file_id=file.id, endpoint=ENDPOINT) for _ in range(2)
        )
        assert first.id != second.id
        assert watch(backend, first.id)[-1].status is Status.COMPLETED
        assert watch(backend, second.id)[-1].status is Status.COMPLETED

    def test_pages_of_batches_join_without_gap_or_repeat(self, backend: Backend) -> None:
        ids = []
        for _ in range(3):
            ids.append(start(backend, 1, model=self.model).id)
            backend.clock.sleep(1)
        whole = backend.list_batches(limit=100).data
        joined = [backend.list_batches(limit=1)]
        while joined[-1].has_more and len(joined) <= len(whole):
            joined.append(backend.list_batches(limit=1, after=joined[-1].data[-1].id))
        found = [batch.id for page in joined for batch in page.data]
        assert found[:3] == ids[::-1]
        assert found == [batch.id for batch in whole]

    @pytest.mark.parametrize("limit", [0, -1, 101])
    def test_a_page_of_batches_has_1_to_100(self, backend: Backend, limit: int) -> None:
        with pytest.raises(Refused):
            backend.list_batches(limit=limit)


def _rank(batch: Batch) -> int:
    return len(ORDER) if batch.status.is_terminal else ORDER.index(batch.status)


def _custom_ids(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["custom_id"] for line in lines)


def _assert_times_in_order(batch: Batch) -> None:
    stamps = (
        batch.created_at,
        batch.in_progress_at,
        batch.finalizing_at,
        batch.cancelling_at,
        batch.completed_at,
        batch.cancelled_at,
    )
    known = [stamp for stamp in stamps if stamp is not None]
    assert known == sorted(known)
