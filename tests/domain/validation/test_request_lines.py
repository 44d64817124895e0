"""Lines that are written alike are read together, and nobody can tell."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsim.domain.limits import OPENAI
from batchsim.domain.lines import RequestLines
from batchsim.domain.validation import input_file
from batchsim.domain.validation.custom_ids import CustomIds
from batchsim.domain.validation.input_file import InputRules, InvalidLine
from batchsim.domain.validation.request_lines import read_uniform_lines
from batchsim.jsonl import Block

USUAL = b'{"custom_id": "a", "method": "POST", "url": "/v1/x", "body": {"b": 1}}'


@pytest.mark.parametrize("end", [b"", b"\r", b" \t\r"])
@pytest.mark.parametrize("content", [USUAL, USUAL.replace(b" ", b"")])
def test_lines_in_the_order_of_the_documentation_are_read_together(content, end):
    other = content.replace(b'"a"', b'"\xc3\xa9 -"')
    assert read_uniform_lines([content + end, other + end], 128) == (
        ["a", "\xe9 -"],
        "/v1/x",
        [{"b": 1}, {"b": 1}],
    )


ODD = (
    b"",
    b"{}",
    USUAL[:-1],
    USUAL[:-1] + b"]",
    USUAL + b"\x0c",
    USUAL + b"}",
    USUAL[:-1] + b', "x": 1}',
    USUAL[:-1] + b', "custom_id": "b"}',
    USUAL.replace(b" ", b"", 1),
    USUAL.replace(b'"a"', b'""'),
    USUAL.replace(b'"a"', b'"a\\u0062"'),
    USUAL.replace(b'"a"', b'"a\x1f"'),
    USUAL.replace(b'"a"', b'"\xff"'),
    USUAL.replace(b'"a"', b'"a", "custom_id": "b"'),
    USUAL.replace(b"POST", b"GET"),
    USUAL.replace(b"/v1/x", b"/v1/y"),
    USUAL.replace(b"/v1/x", b"/v1/\xff"),
    USUAL.replace(b'{"b": 1}', b"[]"),
    USUAL.replace(b'{"b": 1}', b'{"b": NaN}'),
    USUAL.replace(b'{"b": 1}', b'{"b": "\xff"}'),
    USUAL.replace(b"1", b"[" * 127 + b"]" * 127),
    b'{"custom_id": "a{"custom_id": "b", "method": "POST", "url": "/v1/x", "body": {}}',
    b"x" + USUAL,
)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_is_not_like_the_others_is_noticed(odd, place):
    lines = [USUAL.replace(b'"a"', b'"%d"' % number) for number in range(40)]
    lines.insert(place, odd)
    assert read_uniform_lines(lines, 128) is None


ODD_AMONG_OTHERS = (USUAL.replace(b" ", b"", 1), USUAL.replace(b"/v1/x", b"/v1/y"))


@pytest.mark.parametrize("odd", ODD)
def test_most_are_odd_by_themselves(odd):
    assert (read_uniform_lines([odd, odd], 128) is None) == (odd not in ODD_AMONG_OTHERS)


def test_a_part_of_a_line_that_a_neighbour_has_twice_is_no_line():
    opening, rest = USUAL.split(b'a"', 1)
    twice = opening + b"a" + opening + b'b"' + rest
    assert read_uniform_lines([USUAL, b'x"' + rest, twice], 128) is None


def chat(custom_id="a", url="/v1/chat/completions", **body):
    body = {"model": "gpt-4o", "messages": [], **body}
    value = {"custom_id": custom_id, "method": "POST", "url": url, "body": body}
    return json.dumps(value).encode()


def embedding(custom_id, value):
    body = {"model": "gpt-4o", "input": value}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}
    return json.dumps(line).encode()


names = st.sampled_from([*"abcdefghijklmnop", "e\u0301", "x" * 65, "x" * 66, 'q"', "back\\"])
usual = st.builds(chat, names)
lines = st.lists(
    st.one_of(
        usual,
        usual,
        usual,
        usual.map(lambda line: line + b"\r"),
        st.builds(chat, names, model=st.sampled_from(["o3", "nobody's", None, 5, ["gpt-4o"]])),
        st.builds(chat, names, stream=st.sampled_from([True, False, None, 1, []])),
        st.builds(chat, names, messages=st.sampled_from([None, "text"])),
        st.builds(chat, names, url=st.sampled_from(["/v1/responses", "/v1/x"])),
        st.builds(embedding, names, st.sampled_from(["text", ["a", "b"], [1, 2, 3], None])),
        st.builds(lambda line, key: line[:-1] + b', "%b": 1}' % key, usual, st.just(b"more")),
        st.sampled_from([b"", b" ", b"\r", *ODD]),
    ),
    max_size=12,
)


def with_byte(line, place, byte):
    """The line with another byte at a place, or without one there."""
    place %= len(line)
    return line[:place] + byte + line[place + 1 :]


bytes_of_interest = st.sampled_from(
    [b"", b'"', b"\\", b"}", b"{", b" ", b"\xff", b"\x00", b",", b"1"]
)


def findings(rules, contents, cuts):
    """All that the rules say, when the lines come in blocks that end at `cuts`."""
    blocks, offset = [], 0
    begins = sorted({0, *(cut for cut in cuts if cut < len(contents))})
    for begin, end in zip(begins, [*begins[1:], len(contents)], strict=True):
        if end > begin:
            blocks.append(Block(begin + 1, offset, contents[begin:end]))
            offset += sum(map(len, contents[begin:end])) + end - begin
    found = []
    for each in rules.walk(blocks):
        if isinstance(each, InvalidLine):
            found.append(each)
            continue
        starts = list(each.starts())
        for place, request in enumerate(each.requests()):
            found.append((request, starts[place], each.contents[place]))
            assert each.part(place, place + 1).requests() == [request]
            assert each.part(place, place + 1).offset == starts[place]
    finished = list(rules.finish())
    state = (rules.lines, rules.model, rules.model_line, rules.endpoint, rules.unknown_keys)
    return found, finished, state, rules.embedding_inputs


def findings_one_by_one(rules, contents, cuts):
    """The same where several lines are never read together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(input_file, "read_uniform_lines", lambda *_: None)
        return findings(rules, contents, cuts)


@given(
    contents=lines,
    cuts=st.sets(st.integers(0, 12)),
    one_batch=st.booleans(),
    endpoint=st.sampled_from([None, "/v1/chat/completions", "/v1/embeddings"]),
)
def test_what_is_said_of_lines_together_is_what_is_said_of_each(
    contents, cuts, one_batch, endpoint
):
    limits = replace(OPENAI, requests_per_batch=6, embedding_inputs_per_batch=5)
    together, alone = (
        InputRules(endpoint=endpoint, one_batch=one_batch, limits=limits) for _ in range(2)
    )
    expected = findings_one_by_one(alone, contents, range(12))
    assert findings(together, contents, cuts) == expected


@given(
    contents=st.lists(usual, min_size=1, max_size=6),
    place=st.integers(0, 200),
    byte=bytes_of_interest,
    everywhere=st.booleans(),
)
def test_any_other_byte_is_seen_as_when_each_line_is_read_alone(contents, place, byte, everywhere):
    changed = [with_byte(line, place, byte) for line in contents]
    contents = changed if everywhere else [changed[0], *contents[1:]]
    expected = findings_one_by_one(InputRules(), contents, {0})
    assert findings(InputRules(), contents, {0}) == expected


def test_neighbours_are_given_together():
    contents = [chat(str(number)) for number in range(5)]
    (found,) = InputRules().walk([Block(1, 0, contents)])
    assert isinstance(found, RequestLines)
    odd = [contents[0], chat('"'), contents[1], chat("x", model="o3"), contents[2]]
    rules = InputRules(one_batch=False)
    assert [len(found.contents) for found in rules.walk([Block(1, 0, odd)])] == [3, 1, 1]


@pytest.mark.usefixtures("few_ids_kept")
@given(st.lists(st.lists(st.integers(0, 40).map(str) | names, min_size=1, max_size=8)))
def test_ids_together_are_all_new_or_none_is_remembered(groups):
    together, alone = CustomIds(), CustomIds()
    for group in groups:
        known = [custom_id in alone for custom_id in group]
        if together.add_all(group):
            assert not any(known)
            assert len(set(group)) == len(group)
            assert all(map(alone.add, group))
        else:
            assert [custom_id in together for custom_id in group] == known
            assert list(map(together.add, group)) == list(map(alone.add, group))


@pytest.fixture(params=[50_000, 10], ids=["as they are", "as digests"])
def few_ids_kept(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchsim.domain.validation.custom_ids.FEW", request.param)
        patch.setattr("batchsim.domain.validation.custom_ids.SMALLEST_TABLE", 16)
        yield


def test_a_line_of_megabytes_is_not_copied_with_its_neighbours():
    long = chat("long", messages=[{"role": "user", "content": "x" * (1 << 20)}])
    assert read_uniform_lines([long, chat("b")], 128) is None
    assert [
        len(found.contents) for found in InputRules().walk([Block(1, 0, [long, chat("b")])])
    ] == [2]
