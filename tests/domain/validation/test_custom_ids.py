"""Telling duplicates from new ids, in little memory."""

import itertools
import os
import subprocess
import sys
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchsim.domain.validation.custom_ids
from batchsim.domain.validation.custom_ids import LONGEST_OF_FEW, CustomIds, digest

lengths = [1, LONGEST_OF_FEW, LONGEST_OF_FEW + 1, 10_000]


@given(st.lists(st.text(min_size=1, max_size=3) | st.sampled_from([n * "é" for n in lengths])))
def test_an_id_is_new_once(ids):
    seen = CustomIds()
    known = set()
    for each in ids:
        assert seen.add(each) == (each not in known)
        known.add(each)


@pytest.mark.parametrize("length", lengths)
def test_an_id_is_known_again_after_the_memory_was_made_smaller(length, monkeypatch):
    monkeypatch.setattr(batchsim.domain.validation.custom_ids, "FEW", 4)
    seen = CustomIds()
    ids = [f"{number:0>{length}}" for number in range(9)]
    assert all(seen.add(each) for each in ids)
    assert all(each in seen for each in ids)
    assert not any(seen.add(each) for each in ids)


def test_neighbours_that_are_new_are_taken_in_at_one_step_however_many_came_before(monkeypatch):
    monkeypatch.setattr(batchsim.domain.validation.custom_ids, "FEW", 100)
    monkeypatch.setattr(batchsim.domain.validation.custom_ids, "SMALLEST_TABLE", 256)
    seen, refused = CustomIds(), 0
    for begin in range(0, 50_000, 100):
        together = [f"id-{number}" for number in range(begin, begin + 100)]
        if not seen.add_all(together):
            refused += 1
            assert all(seen.add(each) for each in together)
        assert not seen.add_all(together[50:51])
    assert refused <= 1  # where the ids become digests


@given(st.lists(st.integers(0, 200), max_size=300))
def test_digests_are_known_again_after_their_tables_grew(numbers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batchsim.domain.validation.custom_ids, "FEW", 4)
        patch.setattr(batchsim.domain.validation.custom_ids, "SMALLEST_TABLE", 8)
        seen, known = CustomIds(), set()
        for number in numbers:
            assert (str(number) in seen) == (number in known)
            assert seen.add(str(number)) == (number not in known)
            known.add(number)


@pytest.mark.parametrize("template", ["request-{}", "6f1c9a52-1c1e-4c9f-b1d1-{:012}", "{:01000}"])
def test_an_id_costs_about_a_dozen_bytes(monkeypatch, template):
    """An eighth of the real sizes: when the tables have just grown, they are at their emptiest."""
    monkeypatch.setattr(batchsim.domain.validation.custom_ids, "FEW", 50_000 // 8)
    monkeypatch.setattr(batchsim.domain.validation.custom_ids, "SMALLEST_TABLE", 512)
    number = (2 * 65_536 + 100) // 8
    seen = CustomIds()
    tracemalloc.start()
    try:
        for each in range(number):
            seen.add(template.format(each))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / number <= 30


def texts_of_alike_pairs(alike, length):
    """All texts of so many pairs, each pair one of two that the same weak hash does
    not tell apart.
    """
    return ["".join(each) for each in itertools.product(alike, repeat=length)]


HOSTILE = {
    "one hash in Java": texts_of_alike_pairs(("Aa", "BB"), 14),
    "one sum of bytes": texts_of_alike_pairs(("ad", "bc"), 14),
    "one long beginning": [f"{'x' * 60}{number:05}" for number in range(1 << 14)],
    "multiples of a power of two": [str(number << 20) for number in range(1 << 14)],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_row_145_ids_made_to_collide_are_spread_evenly(kind):
    """The digests are keyed anew in each process, so nobody can aim at them.

    16,384 ids in as many places: 20 in one of them has a chance of less than one in 10^14.
    """
    for bits in (0, 20, 40):
        crowds = Counter(digest(each) >> bits & 0x3FFF for each in HOSTILE[kind])
        assert max(crowds.values()) < 20


def test_row_145_another_process_has_another_key():
    script = "from batchsim.domain.validation.custom_ids import digest; print(digest('request-1'))"
    environment = {name: told for name, told in os.environ.items() if name != "PYTHONHASHSEED"}
    told = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=True, env=environment
        ).stdout
        for _ in range(2)
    }
    assert len(told) == 2
