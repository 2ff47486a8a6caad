"""Finding members, and refusing what can be read two ways."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.wire import json_members
from byline.wire.json_members import JsonError, JsonObject, check_utf8, read_object

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["metadata", "a", "b", "model", "user", 'quo"te', "back\\slash", "é", "日本", ""])
blanks = st.text(" \t\n\r", max_size=3)


@st.composite
def member_lists(draw: st.DrawFn) -> list[tuple[str, Any]]:
    return draw(st.lists(st.tuples(names, documents), max_size=6))


@st.composite
def spellings(draw: st.DrawFn, text: str) -> str:
    """The same JSON string with some characters escaped."""
    out = ""
    for character in text:
        if draw(st.booleans()) and ord(character) < 0x10000:
            out += f"\\u{ord(character):04x}"
        else:
            out += json.dumps(character, ensure_ascii=draw(st.booleans()))[1:-1]
    return f'"{out}"'


@st.composite
def written(draw: st.DrawFn, members: list[tuple[str, Any]]) -> str:
    """The members as one object in an arbitrary layout; repeated names stay repeated."""
    style = draw(st.sampled_from(["tight", "spaced", "free"]))
    parts: list[str] = []
    for name, value in members:
        if style == "free":
            key = draw(spellings(name))
            text = json.dumps(
                value, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans())
            )
            parts.append(draw(blanks) + key + draw(blanks) + ":" + draw(blanks) + text + draw(blanks))
        else:
            separators = (",", ":") if style == "tight" else (", ", ": ")
            one = json.dumps({name: value}, separators=separators, ensure_ascii=False)
            parts.append(one[1:-1])
    comma = ", " if style == "spaced" else ","
    body = "{" + comma.join(parts) + "}"
    return draw(blanks) + body + draw(blanks) if style == "free" else body


def read_both_ways(source: bytes) -> list[JsonObject]:
    """As a small body is read, and as a large one is."""
    with mock.patch.object(json_members, "_DICT_LIMIT", 0):
        large = read_object(source)
    return [read_object(source), large]


def pairs(source: bytes) -> list[tuple[str, Any]]:
    return json.loads(source, object_pairs_hook=lambda found: found)


@given(data=st.data())
def test_every_span_holds_the_last_value_of_its_name(data: st.DataObject) -> None:
    members = data.draw(member_lists())
    source = data.draw(written(members)).encode()
    reference = pairs(source)
    for found in read_both_ways(source):
        assert set(found.values) == {name for name, _ in reference}
        for name, raw in found.values.items():
            start, end = found.span(name)
            last = [value for key, value in reference if key == name][-1]
            assert json.loads(source[start:end], object_pairs_hook=lambda inner: inner) == last
            assert source[start:end] == bytes(raw) == source[start:end].strip()


@given(data=st.data())
def test_names_that_repeat_are_named_however_they_are_spelt(data: st.DataObject) -> None:
    members = data.draw(member_lists())
    source = data.draw(written(members)).encode()
    keys = [name for name, _ in pairs(source)]
    for found in read_both_ways(source):
        assert found.duplicates == {key for key in keys if keys.count(key) > 1}


@given(data=st.data())
def test_the_closing_brace_is_the_last_one(data: st.DataObject) -> None:
    source = data.draw(written(data.draw(member_lists()))).encode()
    close = read_object(source).close()
    assert source[close:].strip() == b"}"


def test_a_value_repeated_word_for_word_is_still_a_repeated_name() -> None:
    assert read_object(b'{"a":{"x":1},"a":{"x":1}}').duplicates == {"a"}
    assert read_object(b'{ "a":1,"b":1,"\\u0061":1}').duplicates == {"a"}


def test_a_value_that_begins_like_the_last_one_of_its_name_does_not_mislead_the_walk() -> None:
    source = b'{ "a": 12, "b": 0, "a": 1 }'
    found = read_object(source)
    assert found.duplicates == {"a"}
    assert found.span("a") == (source.rindex(b"1"), source.rindex(b"1") + 1)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'\xef\xbb\xbf{"a":1}', "byte-order mark"),
        (b'{"a":1', "not valid JSON"),
        (b'{"a":1}x', "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":[1,]}', "not valid JSON"),
        (b'{"a":1,}', "not valid JSON"),
        (b'{"a":01}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":"\x01"}', "not valid JSON"),
        (b'{"a":{"b":"\\ud800"}}', "surrogate"),
        (b'{"a":["\\udc00"]}', "surrogate"),
        (b'{"a\xff":1}', "UTF-8"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
    ],
)
def test_what_is_not_one_plain_json_object_is_refused(source: bytes, problem: str) -> None:
    with pytest.raises(JsonError, match=problem):
        read_object(source)
    with mock.patch.object(json_members, "_DICT_LIMIT", -1), pytest.raises(JsonError, match=problem):
        read_object(source)


def test_no_message_quotes_the_text() -> None:
    for secret in (b'{"sk-secret', b'{"a":sk-secret}', b'{"sk-secret":1,"sk-secret":', b"sk-secret"):
        with pytest.raises(JsonError) as caught:
            read_object(secret)
        assert "secret" not in str(caught.value)


@given(st.binary(max_size=40) | st.text('{}[]:,"\\ \n1eu0', max_size=40).map(str.encode))
def test_a_large_body_is_refused_exactly_when_a_small_one_is(source: bytes) -> None:
    try:
        small = read_object(source)
    except JsonError:
        with mock.patch.object(json_members, "_DICT_LIMIT", -1), pytest.raises(JsonError):
            read_object(source)
    else:
        assert [found.duplicates for found in read_both_ways(source)] == [small.duplicates] * 2


@pytest.mark.parametrize("layout", ['{{"a{}":0', ' {{ "a{}":0'])
def test_an_object_of_very_many_members_is_refused(layout: str) -> None:
    many = ",".join(f'"k{n}":0' for n in range(json_members.MAX_MEMBERS + 1))
    with pytest.raises(JsonError, match="more than 10000 members"):
        read_object((layout.format("") + "," + many + "}").encode())


def test_ten_thousand_members_are_not_too_many() -> None:
    source = ("{" + ",".join(f'"{n}":0' for n in range(json_members.MAX_MEMBERS)) + "}").encode()
    assert all(len(found.values) == json_members.MAX_MEMBERS for found in read_both_ways(source))


def test_an_object_that_repeats_one_name_very_often_is_refused() -> None:
    source = b'{"a":0' + b',"a":0' * json_members.MAX_MEMBERS + b"}"
    with pytest.raises(JsonError, match="more than 10000 members"):
        read_object(source)


@given(st.binary(max_size=60), st.integers(0, 40_000))
def test_utf8_is_judged_as_python_judges_it(tail: bytes, padding: int) -> None:
    source = "ü日🙂".encode() + b"x" * padding + tail
    try:
        source.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(JsonError, match=rf"byte {error.start}\)"):
            check_utf8(source)
    else:
        check_utf8(source)


@pytest.mark.parametrize("at", range(16_380, 16_390))
def test_a_character_across_two_pieces_is_no_error(at: int) -> None:
    check_utf8(b"x" * at + "🙂é".encode() * 10_000)


def test_nothing_of_a_body_is_kept_once_it_was_read() -> None:
    def read(number: int) -> None:
        source = b'{"%d%b":1,"model":2}' % (number, b"x" * 100_000)
        assert read_object(source).span("model") == (len(source) - 2, len(source) - 1)

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20):
            read(number)
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
