"""The cost of parsing JSON is bounded by the number of its separators, which are counted before anything is built."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver import bounded_json
from mediaserver.bounded_json import MAX_SEPARATORS, JsonError, parse_json

MB = 1 << 20

WIDE = {
    "arrays": b"[" + b"[]," * (4 * MB) + b"0]",
    "objects": b"[" + b"{}," * (4 * MB) + b"0]",
    "numbers": b"[" + b"0," * (6 * MB) + b"0]",
    "keys": b'{"a":[' + b'"",' * (4 * MB) + b"0]}",
    "nested": b"[" * (12 * MB),
    "quotes": b'["' + b'","' * (4 * MB) + b'"]',
    "escaped quotes": b'["' + b'\\"' * MB + b'"' + b",[]" * MAX_SEPARATORS + b"]",
    "escaped backslashes": b'["' + b"\\\\" * MB + b'"' + b",[]" * MAX_SEPARATORS + b"]",
}


@pytest.mark.parametrize("data", WIDE.values(), ids=WIDE.keys())
def test_wide_json_is_refused_before_it_is_parsed(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_json, "from_json", None)  # calling it would be a TypeError
    with pytest.raises(JsonError, match=str(MAX_SEPARATORS)):
        parse_json(data)


@pytest.mark.parametrize("data", [b"[" * 300 + b"]" * 300, b'{"a":' * 300 + b"0" + b"}" * 300, b"9" * 5_000])
def test_deep_json_and_long_integers_are_refused(data: bytes) -> None:
    with pytest.raises(JsonError):
        parse_json(data)


def test_the_limit_is_exact() -> None:
    assert parse_json(b"[0,[],{}]", max_separators=5) == [0, [], {}]
    with pytest.raises(JsonError):
        parse_json(b"[0,[],{}]", max_separators=4)


@pytest.mark.parametrize("text", ["," * MB, "[{" * MB, '"' * MB, "\\" * MB, '",[' * MB, '\\",[' * MB])
def test_what_is_in_a_string_does_not_count(text: str) -> None:
    assert parse_json(json.dumps({"data": text}).encode()) == {"data": text}


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '"\\ud800"', '"\ud800"', "", "{", "01", "\ufeff{}"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(JsonError):
        parse_json(text)


TEXT = st.text() | st.text(alphabet='[]{},:"\\')
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=12,
)


def separators_in(value: Any) -> int:
    match value:
        case list():
            return max(1, len(value)) + sum(map(separators_in, value))
        case dict():
            return max(1, len(value)) + sum(map(separators_in, value.values()))
        case _:
            return 0


@settings(max_examples=100)
@given(VALUES, st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_json_is_read_if_its_separators_are_few_enough(value: Any, is_ascii: bool, separators: tuple[str, str]) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, separators=separators)
    count = separators_in(value)
    assert parse_json(text, max_separators=count) == value
    if count:
        with pytest.raises(JsonError):
            parse_json(text, max_separators=count - 1)


@given(st.binary(max_size=200) | st.text(alphabet='[]{},:"\\0a', max_size=60), st.integers(1, 50))
def test_any_text_is_a_value_or_refused(data: bytes | str, limit: int) -> None:
    with suppress(JsonError):
        parse_json(data, max_separators=limit)
