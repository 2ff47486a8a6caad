"""What requests say about themselves: found wherever real clients put it, harmless whatever it is."""

from __future__ import annotations

import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from byline.identity.claims import clean_claim, read_claims
from byline.identity.model import Claims

DEVICE = "d" * 64
SESSION = "4d0f7f3a-5e0b-4c5b-9f7c-0d8f3d0c8e11"
ACCOUNT = "9a8b7c6d-0000-4000-8000-123456789abc"
OTHER_SESSION = "11111111-2222-4333-8444-555555555555"


def claude_code(**extra: object) -> str:
    return json.dumps(
        {**extra, "device_id": DEVICE, "account_uuid": "", "session_id": SESSION}, separators=(",", ":")
    )


def test_a_request_that_says_nothing_claims_nothing():
    headers = [(b"host", b"x"), (b"user-agent", b"curl/8"), (b"authorization", b"Bearer s3cret")]
    assert read_claims(headers, None, {}) == Claims()
    assert read_claims(headers, "user-1234", {}) == Claims()


def test_claude_codes_identity_field_gives_device_and_session():
    claims = read_claims([], claude_code(), {})
    assert claims == Claims(device_id=DEVICE, session_id=SESSION, claude_code_session_id=SESSION)


def test_extra_members_of_claude_codes_field_are_claims_of_user_and_job():
    claims = read_claims([], claude_code(user="alice", job="nightly", colour="blue"), {})
    assert (claims.user, claims.job, claims.device_id) == ("alice", "nightly", DEVICE)


def test_the_account_is_read_where_there_is_one():
    field = json.dumps({"device_id": DEVICE, "account_uuid": ACCOUNT, "session_id": SESSION})
    assert read_claims([], field, {}).account_id == ACCOUNT


@pytest.mark.parametrize(("account", "expected"), [(ACCOUNT, ACCOUNT), ("", None)])
def test_the_older_underscore_form_is_read(account, expected):
    claims = read_claims([], f"user_{DEVICE}_account_{account}_session_{SESSION}", {})
    assert claims == Claims(
        device_id=DEVICE, account_id=expected, session_id=SESSION, claude_code_session_id=SESSION
    )


def test_a_plain_user_and_job_object_is_read_and_its_session_is_nobodys_in_particular():
    assert read_claims([], '{"user":"u1","job":"j1"}', {}) == Claims(user="u1", job="j1")
    assert read_claims([], '{"user":"u1","session_id":"s"}', {}) == Claims(user="u1", session_id="s")


def test_claude_codes_headers_are_read():
    headers = [
        (b"x-claude-code-session-id", SESSION.encode()),
        (b"x-claude-code-agent-id", b"agent-1"),
        (b"x-claude-code-parent-agent-id", b"agent-0"),
        (b"x-claude-code-prompt-id", b"prompt-1"),
        (b"x-claude-code-request-class", b"subagent"),
    ]
    assert read_claims(headers, None, {}) == Claims(
        session_id=SESSION,
        claude_code_session_id=SESSION,
        agent_id="agent-1",
        parent_agent_id="agent-0",
        prompt_id="prompt-1",
        request_class="subagent",
    )


def test_codex_headers_and_metadata_are_read():
    headers = [(b"session-id", b"s-1"), (b"thread-id", b"t-1"), (b"originator", b"codex_exec")]
    metadata = {
        "x-codex-installation-id": "inst-1",
        "session_id": "s-2",
        "job": "from-metadata",
        "user": "mallory",
    }
    assert read_claims(headers, None, metadata) == Claims(
        job="from-metadata", device_id="inst-1", session_id="s-1"
    )


@pytest.mark.parametrize(
    ("headers", "metadata", "expected"),
    [
        ([(b"session_id", b"old")], {}, "old"),
        ([(b"thread-id", b"thread")], {}, "thread"),
        ([(b"thread-id", b"thread")], {"session_id": "meta"}, "meta"),
        ([], {"thread_id": "meta-thread"}, "meta-thread"),
        ([(b"x-session-id", b"ses_1")], {}, "ses_1"),
        ([(b"x-session-id", b"ses_1"), (b"x-claude-code-session-id", b"cc")], {}, "cc"),
    ],
)
def test_a_session_is_found_by_whatever_name_the_client_has_for_it(headers, metadata, expected):
    assert read_claims(headers, None, metadata).session_id == expected


def test_job_claims_have_an_order():
    header, field, metadata = [(b"x-byline-job", b"h")], '{"job":"f"}', {"job": "m"}
    assert read_claims(header, field, metadata).job == "h"
    assert read_claims([], field, metadata).job == "f"
    assert read_claims([], None, metadata).job == "m"
    assert read_claims([(b"x-byline-job", b"  ")], field, metadata).job == "f"


def test_the_user_header_comes_before_the_field():
    assert read_claims([(b"x-byline-user", b"h")], '{"user":"f"}', {}).user == "h"


def test_the_session_header_comes_before_the_field():
    headers = [(b"x-claude-code-session-id", OTHER_SESSION.encode())]
    assert read_claims(headers, claude_code(), {}).claude_code_session_id == OTHER_SESSION


def test_of_a_repeated_header_the_first_counts():
    assert read_claims([(b"x-byline-job", b"a"), (b"x-byline-job", b"b")], None, {}).job == "a"


@pytest.mark.parametrize(
    "field",
    [
        "{", "[]", "null", "{}", '{"user":1,"job":null}', '{"user":{"user":"x"}}', '["user","x"]', '{"user":"\\ud800"}',
        "{" * 9000, '{"a":' * 1500 + "1" + "}" * 1500, "user_", "user_x_account__session_", '{"user":"' + "x" * 9000 + '"}',
        "\ud800", '{"user":"\ud800"}',
    ],
)  # fmt: skip
def test_fields_that_are_no_such_document_claim_nothing(field):
    assert read_claims([], field, {}) == Claims()


def test_a_member_of_a_wrong_type_spoils_no_other():
    claims = read_claims([], '{"user":7,"job":"j","device_id":[],"session_id":"s"}', {})
    assert claims == Claims(job="j", session_id="s", claude_code_session_id="s")


def test_members_are_known_by_their_unescaped_names():
    assert read_claims([], '{"\\u0075ser":"alice"}', {}).user == "alice"


def test_control_characters_are_removed_and_the_rest_kept():
    headers = [(b"x-byline-job", b"night\x1b[31mly\x00\x7f\xc2\x85 \xf0\x9f\x9a\x80")]
    assert read_claims(headers, None, {}).job == "night[31mly 🚀"


def test_a_header_that_is_not_utf8_is_still_a_claim():
    assert read_claims([(b"x-byline-job", b"caf\xe9")], None, {}).job == "caf\ufffd"


def test_long_values_are_cut_to_512_bytes_between_characters():
    assert clean_claim("a" * 600) == "a" * 512
    assert clean_claim("é" * 300) == "é" * 256
    assert clean_claim("a" + "é" * 300) == "a" + "é" * 255
    assert clean_claim("🚀" * 200) == "🚀" * 128


HEADER_NAMES = st.sampled_from(
    [b"x-byline-job", b"x-byline-user", b"x-claude-code-session-id", b"session-id", b"thread-id", b"host"]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=10,
)
MEMBER_NAMES = st.sampled_from(["user", "job", "device_id", "account_uuid", "session_id", "other"])
FIELDS = st.one_of(
    st.none(),
    st.text(),
    st.text(alphabet=st.characters(), max_size=50).map(lambda text: "{" + text),
    st.dictionaries(MEMBER_NAMES, JSON_VALUES | st.text()).map(json.dumps),
    st.builds(
        "user_{}_account_{}_session_{}".format,
        st.text(max_size=80),
        st.text(max_size=40),
        st.text(max_size=40),
    ),
)


@given(
    headers=st.lists(st.tuples(HEADER_NAMES, st.binary(max_size=2000)), max_size=8),
    field=FIELDS,
    metadata=st.dictionaries(
        st.sampled_from(["job", "x-codex-installation-id", "session_id", "x"]), st.text()
    ),
)
def test_whatever_is_sent_claims_are_short_clean_text_and_nothing_raises(headers, field, metadata):
    claims = read_claims(headers, field, metadata)
    for value in msgspec.structs.astuple(claims):
        if value is not None:
            assert value
            assert len(value.encode("utf-8")) <= 512
            assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value)
            assert clean_claim(value) == value
    if claims.claude_code_session_id is not None:
        assert claims.session_id == claims.claude_code_session_id


@given(user=st.text(min_size=1, max_size=60), job=st.text(min_size=1, max_size=60))
def test_a_user_and_job_object_comes_back_as_it_was_but_for_control_characters(user, job):
    claims = read_claims([], json.dumps({"user": user, "job": job}), {})
    assert (claims.user, claims.job) == (clean_claim(user), clean_claim(job))
