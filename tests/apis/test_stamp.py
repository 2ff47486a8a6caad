"""Reading facts out of request bodies, and setting the identity without touching anything else."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.apis import chat_completions, messages, passthrough, responses
from byline.apis.api import Api, BodyError

APIS: list[Api] = [messages, chat_completions, responses]
OPENAI: list[Api] = [chat_completions, responses]
OTHER_FIELD = {"chat.completions": "safety_identifier", "responses": "user"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False) | texts
look_alikes = st.sampled_from(
    [
        {"metadata": {"user_id": "nested"}},
        [{"user": "nested", "safety_identifier": "nested", "stream": 7, "model": None}],
        '"metadata":{"user_id":"text"},"user":"text"',
        '","metadata":{"user_id":"text"}}',
        "\\",
        '\\"',
        "\u2028é日🙂",
    ]
)
values = st.recursive(
    scalars.filter(lambda value: value not in (float("inf"), float("-inf"))) | look_alikes,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
other_names = st.sampled_from(["messages", "input", "tools", "tool_choice", "temperature", "x"]) | texts
READ = {"model", "stream", "stream_options", "metadata", "user", "safety_identifier", "background", "user_id"}
identifiers = texts.filter(bool) | st.just('{"user":"tedm","job":"nightly"}')


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    body = draw(st.dictionaries(other_names.filter(lambda name: name not in READ), values, max_size=4))
    optional = {
        "model": texts,
        "stream": st.sampled_from([True, False, None]),
        "max_tokens": values,
        "user": values,
        "safety_identifier": values,
        "metadata": values
        | st.fixed_dictionaries({"user_id": values})
        | st.fixed_dictionaries({"k": values, "user_id": texts}),
        "stream_options": st.sampled_from(
            [
                None,
                {},
                {"include_usage": None},
                {"x": [1], "include_usage": False},
                {"include_usage": True, "x": "é"},
            ]
        ),
    }
    for name, strategy in optional.items():
        if draw(st.booleans()):
            body[name] = draw(strategy)
    order = draw(st.permutations(list(body)))
    return {name: body[name] for name in order}


@st.composite
def layouts(draw: st.DrawFn, body: dict[str, Any]) -> bytes:
    ascii_only = draw(st.booleans())
    style = draw(st.sampled_from(["tight", "spaced", "indented", "escaped"]))
    if style == "indented":
        return json.dumps(body, indent=draw(st.sampled_from([0, 1, "\t"])), ensure_ascii=ascii_only).encode()
    separators = (",", ":") if style == "tight" else (", ", ": ")
    if style != "escaped":
        return json.dumps(body, separators=separators, ensure_ascii=ascii_only).encode()
    members = [
        '"'
        + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else json.dumps(c)[1:-1] for c in name)
        + '" : '
        + json.dumps(value)
        for name, value in body.items()
    ]
    return ("{" + " , ".join(members) + " } \n").encode()


def sent(stamped: Any) -> bytes:
    whole = b"".join(stamped.segments)
    assert len(whole) == stamped.length
    return whole


ABSENT = object()


def replaced_bytes(source: bytes, stamped: Any) -> bytes:
    """What one edit took out: all before and after it are views of the source, from end to end."""
    views = [piece for piece in stamped.segments if isinstance(piece, memoryview)]
    assert len(stamped.segments) - len(views) == 1
    first = stamped.segments[0]
    before = len(first) if isinstance(first, memoryview) else 0
    after = len(source) - sum(map(len, views)) + before
    assert b"".join(views) == source[:before] + source[after:]
    assert all(view.obj is source for view in views)
    return source[before:after]


def expected_body(api: Api, body: dict[str, Any], identifier: str) -> dict[str, Any]:
    if api is not messages:
        return {**body, api.identity_field: identifier}
    metadata = body.get("metadata")
    return {**body, "metadata": {**(metadata if isinstance(metadata, dict) else {}), "user_id": identifier}}


def tokens(source: bytes) -> Any:
    """The document with its members in order and its numbers as they are written."""
    return json.loads(source, object_pairs_hook=tuple, parse_int=str, parse_float=str)


@settings(max_examples=150)
@given(data=st.data(), api=st.sampled_from(APIS), identifier=identifiers)
def test_a_stamp_changes_the_identity_and_nothing_else(
    data: st.DataObject, api: Api, identifier: str
) -> None:
    body = data.draw(bodies())
    source = data.draw(layouts(body))
    stamped = api.stamp(api.read_request(source), identifier)
    result = sent(stamped)
    assert json.loads(result) == expected_body(api, body, identifier)
    field = "metadata" if api is messages else api.identity_field
    before = [pair for pair in tokens(source) if pair[0] != field]
    assert [pair for pair in tokens(result) if pair[0] != field] == before
    removed = replaced_bytes(source, stamped)
    if field in body:
        inner = api is messages and isinstance(body[field], dict)
        old = body[field].get("user_id", ABSENT) if inner else body[field]
        assert (json.loads(removed) if removed else ABSENT) == old
    else:
        assert removed == b""


@given(data=st.data(), api=st.sampled_from(APIS))
def test_without_an_identifier_every_byte_stays(data: st.DataObject, api: Api) -> None:
    source = data.draw(layouts(data.draw(bodies())))
    assert sent(api.stamp(api.read_request(source), None)) == source


@given(data=st.data(), identifier=identifiers)
def test_asking_for_usage_sets_one_flag(data: st.DataObject, identifier: str) -> None:
    body = data.draw(bodies())
    facts = chat_completions.read_request(source := data.draw(layouts(body)))
    options = body.get("stream_options") or {}
    asks = body.get("stream") is not True or options.get("include_usage") is True
    assert facts.asks_for_usage is asks
    result = sent(chat_completions.stamp(facts, identifier, ask_for_usage=True))
    expected = expected_body(chat_completions, body, identifier)
    if not asks:
        expected["stream_options"] = {**options, "include_usage": True}
    assert json.loads(result) == expected, source


@given(data=st.data(), api=st.sampled_from(OPENAI), identifier=identifiers)
def test_the_other_identity_field_is_overwritten_and_never_added(
    data: st.DataObject, api: Api, identifier: str
) -> None:
    body = data.draw(bodies())
    facts = api.read_request(data.draw(layouts(body)))
    result = json.loads(sent(api.stamp(facts, identifier, overwrite_other_field=True)))
    other = OTHER_FIELD[api.name]
    expected = expected_body(api, body, identifier)
    if other in body:
        expected[other] = identifier
    assert result == expected


@given(data=st.data(), api=st.sampled_from(APIS))
def test_the_facts_are_those_of_the_body(data: st.DataObject, api: Api) -> None:
    body = data.draw(bodies())
    facts = api.read_request(data.draw(layouts(body)))
    assert facts.model == body.get("model")
    assert facts.streaming is (body.get("stream") is True)
    metadata = body.get("metadata")
    field = metadata.get("user_id") if api is messages and isinstance(metadata, dict) else None
    field = body.get(api.identity_field) if api is not messages else field
    assert facts.client_identifier == (field if isinstance(field, str) else None)
    limit = body.get("max_tokens")
    counts = type(limit) is int and 0 <= limit <= 2**53 and api is not responses
    assert facts.max_output_tokens == (limit if counts else None)


TWICE = {
    "messages": ["model", "stream", "stream_options", "metadata", "max_tokens"],
    "chat.completions": [
        "model",
        "stream",
        "stream_options",
        "user",
        "safety_identifier",
        "max_completion_tokens",
    ],
    "responses": ["model", "stream", "stream_options", "user", "safety_identifier", "background"],
}


@pytest.mark.parametrize(("api", "name"), [(api, name) for api in APIS for name in TWICE[api.name]])
@pytest.mark.parametrize("layout", ["tight", "spaced", "escaped"])
def test_a_field_that_byline_acts_on_may_stand_once(api: Api, name: str, layout: str) -> None:
    second = f"\\u{ord(name[0]):04x}{name[1:]}" if layout == "escaped" else name
    comma = ", " if layout == "spaced" else ","
    body = f'{{"{name}":null{comma}"x":[1]{comma}"{second}":null}}'
    with pytest.raises(BodyError, match=f"has {name} more than once"):
        api.read_request(body.encode())


@pytest.mark.parametrize("second", ["user_id", "\\u0075ser_id", "use\\u0072_id"])
def test_an_identity_may_stand_once_in_its_parent(second: str) -> None:
    body = f'{{"model":"m","metadata":{{"user_id":"a","{second}":"b"}}}}'
    with pytest.raises(BodyError, match=r"metadata\.user_id more than once"):
        messages.read_request(body.encode())


@pytest.mark.parametrize(
    ("api", "name", "spelling"),
    [
        (messages, "metadata", "Metadata"),
        (messages, "metadata", "METADATA"),
        (messages, "metadata", "\\u004detadata"),
        (messages, "max_tokens", "Max_Tokens"),
        (chat_completions, "user", "User"),
        (chat_completions, "user", "u\u017fer"),  # a long s is an s to Go
        (chat_completions, "user", "u\\u017fer"),
        (chat_completions, "safety_identifier", "Safety_Identifier"),
        (chat_completions, "stream", "Stream"),
        (responses, "safety_identifier", "SAFETY_IDENTIFIER"),
        (responses, "background", "Background"),
    ],
)
@pytest.mark.parametrize("beside", ['"x":1', '"NAME":null'])
def test_a_name_that_some_providers_would_take_for_ours_is_refused(
    api: Api, name: str, spelling: str, beside: str
) -> None:
    body = f'{{{beside.replace("NAME", name)},"{spelling}":"mallory"}}'
    with pytest.raises(BodyError, match=f"has {name} in other letters; write it as {name}"):
        api.read_request(body.encode())


def test_the_members_of_the_identitys_parent_are_held_to_their_spelling_too() -> None:
    with pytest.raises(BodyError, match=r"has metadata\.user_id in other letters; write it as user_id"):
        messages.read_request(b'{"model":"m","metadata":{"user_id":"a","User_Id":"b"}}')
    with pytest.raises(BodyError, match=r"stream_options\.include_usage in other letters"):
        chat_completions.read_request(b'{"stream":true,"stream_options":{"Include_usage":true}}')


@pytest.mark.parametrize("api", APIS)
def test_names_in_other_letters_are_nobodys_business_further_down_or_where_byline_reads_nothing(
    api: Api,
) -> None:
    body = b'{"model":"m","Temperature":1,"messages":[{"User":1,"METADATA":{"User_Id":2}}]}'
    assert b'"Temperature":1,"messages":[{"User":1,"METADATA":{"User_Id":2}}]' in sent(
        api.stamp(api.read_request(body), "alice")
    )


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (messages, b'{"m\\u0065tadata":{"us\\u0065r_id":"mallory"}}'),
        (chat_completions, b'{"us\\u0065r":"mallory"}'),
        (responses, b'{"saf\\u0065ty_identifier":"mallory"}'),
    ],
)
def test_an_identity_under_an_escaped_name_is_found_and_replaced(api: Api, body: bytes) -> None:
    facts = api.read_request(body)
    assert facts.client_identifier == "mallory"
    assert sent(api.stamp(facts, "alice")) == body.replace(b"mallory", b"alice")


def test_the_usage_flag_may_stand_once() -> None:
    body = b'{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}'
    with pytest.raises(BodyError, match=r"stream_options\.include_usage more than once"):
        chat_completions.read_request(body)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("space", ["", " "])
def test_other_names_may_repeat_and_keep_their_bytes(api: Api, space: str) -> None:
    body = f'{{{space}"temperature":1,"model":"m","temperature":{{"a":[1, 2]}},"metadata":{{"k":1,"k":2}}}}'.encode()
    result = sent(api.stamp(api.read_request(body), "alice"))
    assert result.startswith(body[: body.index(b'"metadata"')])
    assert b'"k":1,"k":2' in result
    assert b"alice" in result


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf{}", "byte-order mark"),
        (b"[1]", "not a JSON object"),
        (b'{"model":', "not valid JSON"),
        (b'{"model":"\xff"}', "UTF-8"),
        (b'{"x":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"x":"\\ud83d"}', "surrogate"),
        (b'{"model":7}', "model must be a string"),
        (b'{"model":{"id":"m"}}', "model must be a string"),
        (b'{"stream":"true"}', "stream must be true or false"),
        (b'{"stream":1}', "stream must be true or false"),
        (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
    ],
)
def test_a_body_that_could_be_read_two_ways_is_refused_by_name(api: Api, body: bytes, problem: str) -> None:
    with pytest.raises(BodyError, match=problem):
        api.read_request(body)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("7", "stream_options must be an object"),
        ("[]", "stream_options must be an object"),
        ('{"include_usage":1}', "stream_options.include_usage must be true or false"),
        ('{"include_usage":"true"}', "stream_options.include_usage must be true or false"),
    ],
)
def test_a_usage_flag_that_some_providers_would_coerce_is_refused(options: str, problem: str) -> None:
    with pytest.raises(BodyError, match=problem):
        chat_completions.read_request(f'{{"stream":true,"stream_options":{options}}}'.encode())


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("model", [b"{}", b'{"model":null}'])
def test_a_missing_model_is_for_the_provider_to_refuse(api: Api, model: bytes) -> None:
    assert api.read_request(model).model is None


def test_claude_codes_identity_is_read_and_replaced() -> None:
    user_id = '{"device_id":"d","account_uuid":"","session_id":"s"}'
    body = json.dumps({"model": "m", "metadata": {"user_id": user_id}, "stream": True}).encode()
    facts = messages.read_request(body)
    assert facts.client_identifier == user_id
    assert sent(messages.stamp(facts, "alice")) == body.replace(json.dumps(user_id).encode(), b'"alice"')


def test_an_identity_that_is_absent_is_added_at_the_end() -> None:
    facts = messages.read_request(b'{"model":"m"}\n')
    assert sent(messages.stamp(facts, "alice")) == b'{"model":"m","metadata":{"user_id":"alice"}}\n'
    facts = chat_completions.read_request(b"{ }")
    assert sent(chat_completions.stamp(facts, "alice")) == b'{ "user":"alice"}'


def test_two_additions_go_in_together() -> None:
    facts = chat_completions.read_request(b'{"stream":true}')
    result = sent(chat_completions.stamp(facts, "alice", ask_for_usage=True))
    assert result == b'{"stream":true,"user":"alice","stream_options":{"include_usage":true}}'


def test_codex_metadata_is_read_as_strings() -> None:
    body = b'{"model":"m","client_metadata":{"x-codex-installation-id":"i","n":1,"o":{}},"background":true}'
    facts = responses.read_request(body)
    assert facts.client_metadata == {"x-codex-installation-id": "i"}
    assert facts.background
    assert responses.read_request(b'{"client_metadata":"x"}').client_metadata == {}
    assert not chat_completions.read_request(body).background


def test_the_larger_of_two_limits_counts() -> None:
    facts = chat_completions.read_request(b'{"max_tokens":10,"max_completion_tokens":20}')
    assert facts.max_output_tokens == 20
    assert responses.read_request(b'{"max_output_tokens":5,"max_tokens":9}').max_output_tokens == 5


@pytest.mark.parametrize("at", [0, 17_000_000, 30_000_000])
def test_a_body_of_30_megabytes_is_stamped_without_copying_it(at: int) -> None:
    text = b"\\u0041\xc3\xa9" * 3_750_000
    at -= at % 8
    body = (
        b'{"model":"m","messages":"'
        + text[:at]
        + b'","metadata":{"user_id":"x"},"tail":"'
        + text[at:]
        + b'"}'
    )
    stamped = messages.stamp(messages.read_request(body), "alice")
    assert all(piece.obj is body for piece in stamped.segments if isinstance(piece, memoryview))
    assert b"".join(stamped.segments) == body.replace(b'{"user_id":"x"}', b'{"user_id":"alice"}')


def test_other_kinds_of_buffer_are_accepted() -> None:
    body = b'{"model":"m"}'
    assert messages.read_request(memoryview(body)).model == "m"


@pytest.mark.parametrize("api", [passthrough.COUNT_TOKENS, passthrough.MODELS, passthrough.OTHER])
@pytest.mark.parametrize("body", [b"", b'{"model":"m","model":"n","metadata":{"user_id":"x"}}', b"\xff\x00"])
def test_other_calls_pass_untouched(api: Api, body: bytes) -> None:
    facts = api.read_request(body)
    assert sent(api.stamp(facts, "alice", overwrite_other_field=True, ask_for_usage=True)) == body


def test_token_counting_names_its_model() -> None:
    assert passthrough.COUNT_TOKENS.read_request(b'{"model":"m"}').model == "m"
    assert passthrough.OTHER.read_request(b'{"model":"m"}').model is None


def test_token_counting_walks_no_more_members_than_the_other_calls_do() -> None:
    body = b'{"model":"m",' + b",".join(b'"%x":1' % number for number in range(100_000)) + b"}"
    tracemalloc.start()
    try:
        model = passthrough.COUNT_TOKENS.read_request(body).model
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert model is None
    assert peak < 4_000_000  # each of 100,000 would have cost a hundred bytes and more


def test_a_member_that_is_read_has_a_bounded_size() -> None:
    large = b"x" * (5 * 1024 * 1024)
    with pytest.raises(BodyError, match=r"^metadata is larger than 4194304 bytes"):
        messages.read_request(b'{"model":"m","metadata":{"user_id":"%b"}}' % large)
    with pytest.raises(BodyError, match=r"^model is larger"):
        responses.read_request(b'{"input":"","model":"%b"}' % large)
    assert passthrough.COUNT_TOKENS.read_request(b'{"model":"%b"}' % large).model is None
    assert messages.read_request(b'{"model":"m","messages":["%b"]}' % large).model == "m"


def test_facts_of_another_kind_are_a_programming_error() -> None:
    with pytest.raises(TypeError):
        messages.stamp(passthrough.OTHER.read_request(b"{}"), "alice")
