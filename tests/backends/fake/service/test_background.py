"""Work that takes long: at once, or by a thread while others look."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from batchsim.backends.fake.service.background import (
    BackgroundWorker,
    Future,
    InlineWorker,
    NotReady,
    Task,
)
from batchsim.stores.memory import MemoryStore

PATIENCE = 20
"""Seconds after which a test gives up: nothing here takes any."""


def task_doing(do, batch_id="batch_1", *, subject=("first",), due=0.0, is_large=True):
    return Task(batch_id, subject, due, is_large, do)


@pytest.fixture
def contents():
    with MemoryStore() as store:
        with store.draft() as draft:
            draft.write(b"content")
            draft.keep("file-1")
        yield store


@pytest.fixture
def background(contents):
    worker = BackgroundWorker(contents)
    yield worker
    worker.close()


@pytest.fixture
def gate():
    """Opened at the end in any case, so that nothing waits for it for ever."""
    event = threading.Event()
    yield event
    event.set()


def result_of(worker, wanted):
    """The result, however long it takes."""
    try:
        return worker.result(wanted)
    except NotReady as unfinished:
        unfinished.future.wait()
        return worker.result(wanted)


def content_of_file(contents):
    with contents.open_content("file-1") as stream:
        return stream.read()


def test_at_once_is_in_the_thread_that_asks(contents):
    worker = InlineWorker(contents)
    wanted = task_doing(lambda contents: (content_of_file(contents), threading.current_thread()))
    worker.start(wanted)
    assert worker.result(wanted) == (b"content", threading.current_thread())


def test_who_asks_too_early_is_told_so(background, gate):
    wanted = task_doing(lambda contents: gate.wait(PATIENCE) and content_of_file(contents))
    with pytest.raises(NotReady):
        background.result(wanted)
    gate.set()
    assert result_of(background, wanted) == b"content"


def test_what_was_begun_is_not_done_twice(background):
    done = []
    wanted = task_doing(lambda _: done.append(1))
    background.start(wanted)
    background.start(task_doing(lambda _: done.append(2)))
    result_of(background, wanted)
    assert done == [1]


def test_another_subject_is_another_task(background, gate):
    background.start(task_doing(lambda _: gate.wait(PATIENCE) and "first"))
    gate.set()
    assert result_of(background, task_doing(lambda _: "second", subject=("second",))) == "second"


def test_small_tasks_are_done_by_who_asks(background):
    small = task_doing(lambda _: threading.current_thread(), is_large=False)
    background.start(small)
    assert background.result(small) is threading.current_thread()


def test_the_task_due_first_comes_first(background, gate):
    order, reached = [], threading.Event()

    def hold_up(_):
        reached.set()
        gate.wait(PATIENCE)

    background.start(task_doing(hold_up, "batch_0"))
    assert reached.wait(PATIENCE)
    wanted = [
        task_doing(lambda _, due=due: order.append(due), f"batch_{due}", due=due)
        for due in (3, 1, 2)
    ]
    for each in wanted:
        background.start(each)
    gate.set()
    for each in wanted:
        result_of(background, each)
    assert order == [1, 2, 3]


def test_a_failure_is_for_who_asks_and_the_next_has_it_tried_again(background):
    failures = [OSError("no space left on device")]

    def do(_):
        if failures:
            raise failures.pop()
        return "done"

    wanted = task_doing(do)
    with pytest.raises(OSError, match="no space left"):
        result_of(background, wanted)
    assert result_of(background, wanted) == "done"


@pytest.mark.parametrize("how", ["read", "write", "keep"])
@pytest.mark.parametrize("end", ["cancel", "close"])
def test_an_cancelled_task_ends_at_the_next_piece(background, contents, how, end):
    reached, ended = threading.Event(), threading.Event()

    def without_end(contents):
        try:
            while True:
                if how == "read":
                    content_of_file(contents)
                else:
                    with contents.draft() as draft:
                        draft.write(b"never kept") if how == "write" else draft.keep("file-2")
                reached.set()
        finally:
            ended.set()

    background.start(task_doing(without_end))
    assert reached.wait(PATIENCE)
    if end == "cancel":
        background.cancel("batch_1")
    else:
        background.close()
        assert ended.is_set()
    assert ended.wait(PATIENCE)


def test_what_waits_in_the_queue_is_cancelled_too(background, gate):
    done = []
    background.start(task_doing(lambda _: gate.wait(PATIENCE), "batch_1"))
    background.start(task_doing(lambda _: done.append(1), "batch_2", due=1.0))
    background.cancel("batch_2")
    gate.set()
    result_of(background, task_doing(lambda _: None, "batch_3", due=2.0))
    assert not done


def test_who_waits_for_an_cancelled_task_goes_on(contents):
    future = Future(task_doing(content_of_file))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(future.wait)
        future.cancel()
        waiting.result(PATIENCE)
    assert future.is_done


def test_the_thread_is_there_only_while_there_is_work(background):
    def threads():
        return [each for each in threading.enumerate() if each.name == "batchsim-worker"]

    assert result_of(background, task_doing(lambda _: len(threads()))) == 1
    background.close()
    assert not threads()


def test_after_the_end_who_asks_does_it(contents):
    worker = BackgroundWorker(contents)
    worker.close()
    wanted = task_doing(lambda _: threading.current_thread())
    worker.start(wanted)
    assert worker.result(wanted) is threading.current_thread()
