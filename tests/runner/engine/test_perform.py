"""What the runner asks of a backend, and what it makes of strange answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchsim.backends.fake import FakeBackend
from batchsim.errors import (
    JobIncomplete,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
)
from batchsim.runner.planning.shard_content import ShardContent
from batchsim.runner.run import run


@pytest.fixture
def source(build):
    return build.input([build.chat("a"), build.chat("b")])


class Overriding(FakeBackend):
    """A simulator whose next answers a test replaces; what it was asked is counted."""

    def __init__(self, **overrides):
        super().__init__(pacing="quick")
        self.overrides = overrides
        self.asked = []

    def _overridden(self, name, real, *arguments, **options):
        self.asked.append(name)
        override = self.overrides.get(name)
        if override is None:
            return real(*arguments, **options)
        return override(self, real, *arguments, **options)

    def upload_file(self, *arguments, **options):
        return self._overridden("upload", super().upload_file, *arguments, **options)

    def create_batch(self, **options):
        return self._overridden("create", super().create_batch, **options)

    def retrieve_file(self, file_id):
        return self._overridden("file", super().retrieve_file, file_id)


def first_call_only(override):
    """Apply `override` to the first call only."""
    done = []

    def apply(backend, real, *arguments, **options):
        if done:
            return real(*arguments, **options)
        done.append(True)
        return override(backend, real, *arguments, **options)

    return apply


def test_an_answer_about_another_file_is_no_answer(build, source):
    @first_call_only
    def about_another(backend, real, **options):
        return replace(real(**options), id="batch_of_others", input_file_id="file-of-others")

    backend = Overriding(create=about_another)
    report = run(source, backend, results=build.results)
    assert report.all_ok
    assert [batch.id for batch in build.batches_of(backend)] == list(report.batches)


def test_an_answer_without_the_file_is_taken(build, source):
    @first_call_only
    def without_file(backend, real, **options):
        return replace(real(**options), input_file_id="")

    backend = Overriding(create=without_file)
    assert run(source, backend, results=build.results).all_ok
    assert backend.asked.count("create") == 1


def test_before_a_refused_create_is_sent_again_its_effect_is_looked_for(build, source):
    @first_call_only
    def made_and_refused(backend, real, **options):
        real(**options)
        raise RateLimited("slow down")

    backend = Overriding(create=made_and_refused)
    assert run(source, backend, results=build.results).all_ok
    assert len(build.batches_of(backend)) == 1


def test_of_two_batches_over_one_file_the_older_is_adopted(build, source):
    @first_call_only
    def twice(backend, real, **options):
        real(**options)
        backend.clock.advance(30)
        real(**options)
        raise OutcomeUnknown("the answer was lost")

    backend = Overriding(create=twice)
    report = run(source, backend, results=build.results)
    newer, older = build.batches_of(backend)
    assert older.created_at < newer.created_at
    assert report.batches == (older.id,)


def test_a_file_of_our_name_and_another_size_is_not_adopted(build, source):
    @first_call_only
    def without_its_first_line(backend, real, content, **options):
        content.readline()
        real(content, **options)
        raise OutcomeUnknown("the connection broke")

    backend = Overriding(upload=without_its_first_line)
    assert run(source, backend, results=build.results).all_ok
    (batch,) = build.batches_of(backend)
    assert b"".join(backend.read_file(batch.input_file_id)) == source.read_bytes()


def test_a_result_file_may_be_unknown_for_a_while(build, source):
    unknown = []

    def not_yet(backend, real, file_id):
        if len(unknown) < 4:
            unknown.append(file_id)
            raise NotFound(f"No such File object: {file_id}")
        return real(file_id)

    backend = Overriding(file=not_yet)
    assert run(source, backend, results=build.results).all_ok
    assert len(unknown) == 4


def test_an_input_file_that_stays_unknown_is_uploaded_again_by_the_next_run(build, source):
    gone = []

    def knows_only_later_files(backend, real, **options):
        gone.append(options["input_file_id"])
        if options["input_file_id"] == gone[0]:
            raise Refused("Cannot find file file-x, or project p does not have access to it.")
        return real(**options)

    backend = Overriding(create=knows_only_later_files)
    with pytest.raises(JobIncomplete, match="Cannot find file"):
        run(source, backend, results=build.results)
    assert backend.asked.count("upload") == 1
    assert run(source, backend, results=build.results).all_ok
    names = [file.filename for file in backend.list_files(purpose="batch").data]
    assert len(set(names)) == len(names) == 2


def test_content_may_be_measured_rewound_and_read_again(build, source):
    (shard,) = build.plan_of([build.chat("a"), build.chat("b")], source).shards
    with ShardContent(source, shard) as content:
        stream = content.buffered()
        assert stream.seek(0, 2) == source.stat().st_size
        assert stream.seek(0) == 0
        first = stream.read()
        stream.seek(5)
        assert first == source.read_bytes()
        assert stream.read() == first[5:]
        assert stream.seek(-3, 1) == len(first) - 3
        assert stream.read() == first[-3:]
