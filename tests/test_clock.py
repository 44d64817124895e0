"""The clocks: two that follow the machine and one that is told."""

import math
import time

import pytest

from batchsim.clock import VIRTUAL_START, Clock, ScaledClock, SystemClock, VirtualClock


class Machine:
    """A stand-in for the real clock and the real wait."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.naps: list[float] = []

    def nap(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.time += seconds

    def scaled(self, rate: float) -> ScaledClock:
        return ScaledClock(rate, start=50.0, source=lambda: self.time, nap=self.nap)


@pytest.mark.parametrize("clock", [SystemClock(), Machine().scaled(2), VirtualClock()])
def test_each_clock_keeps_the_protocol_and_does_not_go_back_when_it_sleeps(clock):
    assert isinstance(clock, Clock)
    before = clock.now()
    clock.sleep(-1.0)
    assert clock.now() >= before


def test_the_system_clock_is_the_machines(monkeypatch):
    naps: list[float] = []
    monkeypatch.setattr(time, "time", lambda: 12.5)
    monkeypatch.setattr(time, "sleep", naps.append)
    SystemClock().sleep(3)
    SystemClock().sleep(-3)
    assert (SystemClock().now(), naps) == (12.5, [3, 0.0])


def test_a_scaled_clock_starts_where_it_is_told_and_runs_at_its_rate():
    machine = Machine()
    clock = machine.scaled(3_600)
    assert clock.now() == 50.0
    machine.time += 2
    assert clock.now() == 50.0 + 7_200


def test_sleeping_on_a_scaled_clock_waits_a_fraction_of_it():
    machine = Machine()
    clock = machine.scaled(100)
    clock.sleep(60)
    assert machine.naps == [0.6]
    assert clock.now() == pytest.approx(110.0)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_must_be_positive_and_finite(rate):
    with pytest.raises(ValueError, match="positive and finite"):
        ScaledClock(rate)


def test_a_virtual_clock_moves_only_when_told():
    clock = VirtualClock()
    assert clock.now() == clock.now() == VIRTUAL_START
    clock.sleep(10)
    clock.advance(5)
    assert clock.now() == VIRTUAL_START + 15
    clock.advance_to(VIRTUAL_START + 100)
    assert clock.now() == VIRTUAL_START + 100


def test_a_virtual_clock_does_not_go_back():
    clock = VirtualClock(start=100)
    with pytest.raises(ValueError, match="cannot go back by 1"):
        clock.advance(-1)
    with pytest.raises(ValueError, match=r"cannot go back from 100\.0 to 99"):
        clock.advance_to(99)
    assert clock.now() == 100.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_virtual_clock_shows_a_time_whatever_is_asked_of_it(value):
    clock = VirtualClock(start=100)
    with pytest.raises(ValueError, match="cannot go on by"):
        clock.advance(value)
    with pytest.raises(ValueError, match="cannot be put to"):
        clock.advance_to(value)
    with pytest.raises(ValueError, match="cannot start at"):
        VirtualClock(start=value)
    assert clock.now() == 100.0


def test_virtual_time_is_the_same_in_one_jump_or_many():
    one, many = VirtualClock(), VirtualClock()
    one.advance(86_400)
    for _ in range(24):
        many.advance(3_600)
    assert one.now() == many.now()
