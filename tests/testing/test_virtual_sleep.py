"""Sleep on a virtual clock: of threads, of tasks, and of those that sleep in real time all the
same.
"""

import asyncio
import functools
import math
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
import trio

from batchsim.clock import SystemClock, VirtualClock
from batchsim.testing import virtual_sleep
from batchsim.testing.virtual_sleep import sleep_virtually

MODULES = (time, asyncio, asyncio.tasks, anyio, trio)
REAL_ASYNC = asyncio.sleep
A_TURN = 0.25
"""Real seconds: more than any sleep that is real on purpose, less than any virtual one here."""


def only_turns(original):
    """That function, which fails when a sleep that should be virtual gets through to it."""

    @functools.wraps(original)
    def sleep(seconds, *rest, **named):
        if isinstance(seconds, int | float) and A_TURN < seconds < math.inf:
            pytest.fail(f"asked to sleep {seconds} real seconds")
        return original(seconds, *rest, **named)

    return sleep


@pytest.fixture(autouse=True)
def real(monkeypatch):
    """The functions that `sleep_virtually` finds as the real ones, by module."""
    doubles = {function: only_turns(function) for function in {each.sleep for each in MODULES}}
    for module in MODULES:
        monkeypatch.setattr(module, "sleep", doubles[module.sleep])
    return {module: module.sleep for module in MODULES}


@pytest.fixture
def clock(real):
    clock = VirtualClock(0)
    with sleep_virtually(clock):
        yield clock


def test_a_sleep_that_gets_through_is_noticed():
    with pytest.raises(pytest.fail.Exception, match="5 real seconds"):
        time.sleep(5)


def test_sleep_advances_the_clock(clock):
    time.sleep(86_400)
    time.sleep(0.5)
    assert clock.now() == 86_400.5


def test_the_system_clock_sleeps_virtually(clock):
    SystemClock().sleep(100)
    assert clock.now() == 100


def test_a_name_taken_from_the_module_is_met_and_given_back(real):
    module = types.ModuleType("polling")
    sys.modules["polling"] = module
    try:
        exec("from time import sleep", vars(module))
        clock = VirtualClock(0)
        with sleep_virtually(clock):
            module.sleep(60)
        assert clock.now() == 60
        assert module.sleep is real[time]
    finally:
        del sys.modules["polling"]


def test_what_was_imported_meanwhile_is_real_afterwards(real):
    clock = VirtualClock(0)
    with sleep_virtually(clock):
        kept = time.sleep
    kept(0.01)
    assert clock.now() == 0
    assert {module: module.sleep for module in MODULES} == real


@pytest.mark.parametrize(("seconds", "error"), [(-1, ValueError), ("1", TypeError)])
def test_what_is_no_duration_is_refused_as_ever(clock, seconds, error):
    with pytest.raises(error):
        time.sleep(seconds)
    assert clock.now() == 0


def test_two_threads_that_sleep_at_once_wake_when_they_are_due(monkeypatch, real):
    monkeypatch.setattr(virtual_sleep, "PATIENCE", math.inf)
    clock = VirtualClock(0)
    both_asleep = threading.Barrier(2)
    asked_again = threading.Event()
    turns = {3_000: 0, 30: 0}
    mine = threading.local()
    advances = []

    def turn(seconds):
        turns[mine.due] += 1
        if turns[mine.due] > 1:
            asked_again.set()
            real[time](seconds)
            return
        both_asleep.wait()
        if mine.due == 30:  # the later one shall have had the chance to wake first
            asked_again.wait()

    def sleep(seconds):
        mine.due = seconds
        time.sleep(seconds)
        asked_again.set()

    def advance_to(moment):
        advances.append(moment)
        VirtualClock.advance_to(clock, moment)

    monkeypatch.setattr(time, "sleep", turn)
    monkeypatch.setattr(clock, "advance_to", advance_to)
    with sleep_virtually(clock), ThreadPoolExecutor(2) as pool:
        list(pool.map(sleep, turns))
    assert advances == [30, 3_000]


def test_a_sleeper_does_not_wait_for_one_that_cannot_wake(clock):
    async def main():
        task = asyncio.create_task(asyncio.sleep(5))
        await REAL_ASYNC(0)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(time.sleep, 60).result()  # blocks the loop in which the task sleeps
        await task

    asyncio.run(main())
    assert clock.now() == 60


def run_asyncio(main):
    asyncio.run(main())


def run_anyio_on_trio(main):
    anyio.run(main, backend="trio")


LIBRARIES = {
    "asyncio": (run_asyncio, asyncio),
    "anyio on asyncio": (anyio.run, anyio),
    "anyio on trio": (run_anyio_on_trio, anyio),
    "trio": (trio.run, trio),
}


@pytest.fixture(params=LIBRARIES)
def library(request):
    """How to run a main function, and the module whose `sleep` it calls."""
    return LIBRARIES[request.param]


def test_tasks_wake_in_the_order_in_which_they_are_due(clock, library):
    run, module = library
    seen = []

    async def poll(name, seconds, times):
        for _ in range(times):
            await module.sleep(seconds)
            seen.append((name, clock.now()))

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(poll, "a", 10, 3)
            group.start_soon(poll, "b", 25, 2)
            group.start_soon(poll, "c", 1_000, 1)

    run(main)
    assert seen == [("a", 10), ("a", 20), ("b", 25), ("a", 30), ("b", 50), ("c", 1_000)]


def test_a_timeout_counts_virtual_seconds(clock, library):
    run, module = library

    async def poll_for_ever():
        while True:
            await module.sleep(10)

    async def main():
        await module.sleep(500)
        with anyio.move_on_after(3_600):
            await poll_for_ever()

    run(main)
    assert 500 + 3_590 <= clock.now() <= 500 + 3_610


def test_wait_for_times_out_in_virtual_time(clock):
    async def poll_for_ever():
        while True:
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(poll_for_ever(), 3_600))
    assert 3_590 <= clock.now() <= 3_620


def test_the_loops_own_timers_go_off(clock):
    async def main():
        done = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, done.set)
        await asyncio.wait_for(done.wait(), 3_600)
        asyncio.get_running_loop().call_later(60, done.clear)
        await asyncio.sleep(59)
        assert done.is_set()
        await asyncio.sleep(2)
        await asyncio.sleep(2)
        assert not done.is_set()

    asyncio.run(main())


def test_a_loop_that_outlives_the_block_keeps_real_time_afterwards():
    with asyncio.Runner() as runner:
        with sleep_virtually(VirtualClock(0)):
            runner.run(asyncio.sleep(3_600))
            assert runner.get_loop().time() - time.monotonic() > 3_599
        assert runner.get_loop().time() - time.monotonic() < 1
        with sleep_virtually(VirtualClock(0)):
            runner.run(asyncio.sleep(5))
            assert runner.get_loop().time() - time.monotonic() < 6


def test_a_cancelled_sleeper_holds_up_nobody(clock):
    async def main():
        task = asyncio.create_task(asyncio.sleep(5))
        await REAL_ASYNC(0)
        task.cancel()
        await asyncio.sleep(60)

    asyncio.run(main())
    assert clock.now() == 60


def test_the_result_of_a_sleep_comes_back(clock):
    assert asyncio.run(asyncio.sleep(10, "result")) == "result"
    assert asyncio.run(asyncio.sleep(delay=0, result="now")) == "now"


def test_sleeping_for_ever_stays_for_ever(clock):
    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(math.inf), 0.01)

    asyncio.run(main())
    assert clock.now() == 0


def test_who_waits_for_a_process_waits_in_real_time(clock):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.1)"])
    assert process.wait(timeout=20) == 0
    assert clock.now() == 0


def test_waiting_for_what_never_comes_fails(clock, monkeypatch):
    monkeypatch.setattr(virtual_sleep, "MOST_SLEEPS", 50)
    for _ in range(50):
        time.sleep(10)
    with pytest.raises(pytest.fail.Exception, match="has slept 50 times, and seems to wait"):
        time.sleep(10)
    assert clock.now() == 500


def test_a_module_that_was_loaded_anew_is_met(monkeypatch, real):
    clock = VirtualClock(0)
    for _ in range(2):
        module = types.ModuleType("loaded_anew")
        module.sleep = time.sleep
        monkeypatch.setitem(sys.modules, "loaded_anew", module)
        with sleep_virtually(clock):
            before = clock.now()
            module.sleep(1)
            assert clock.now() == before + 1
        assert module.sleep is real[time]
        monkeypatch.delitem(sys.modules, "loaded_anew")
