"""Which provider a path means, and which of our credentials pays."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tests.gateway.conftest import Rig, receive_answer, request

from byline.gateway.provider import credential_line

BODY = b'{"model":"m"}'


def ask(rig: Rig, path: str, key: str) -> bytes:
    with rig.connect() as client:
        client.sendall(request(path, BODY, key=key))
        return receive_answer(client)[0]


def test_a_further_provider_is_served_under_its_prefix_with_its_own_key(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(
        BYLINE_PROVIDERS__DEEPSEEK__BASE_URL="PLACEHOLDER/api",
        BYLINE_PROVIDERS__DEEPSEEK__KIND="openai",
        BYLINE_PROVIDERS__DEEPSEEK__API_KEY_ENV="DEEPSEEK_KEY",
        DEEPSEEK_KEY="sk-deep",
    )
    assert ask(rig, "/deepseek/v1/chat/completions", rig.key).startswith(b"HTTP/1.1 200")
    seen = rig.upstream.seen[0]
    assert seen.head.startswith(b"POST /api/v1/chat/completions HTTP/1.1")
    assert seen.headers[b"authorization"] == b"Bearer sk-deep"
    (row,) = rig.rows()
    assert (row["provider"], row["api"]) == ("deepseek", "chat.completions")


def test_a_key_before_a_user_before_a_team_decides_the_credential(make_rig: Callable[..., Rig]) -> None:
    section = "BYLINE_PROVIDERS__ANTHROPIC__CREDENTIALS"
    rig = make_rig(
        **{
            f"{section}__RESEARCH__API_KEY_ENV": "KEY_RESEARCH",
            f"{section}__RESEARCH__TEAMS": "research",
            f"{section}__VIP__API_KEY_ENV": "KEY_VIP",
            f"{section}__VIP__USERS": "vera",
        },
        KEY_RESEARCH="sk-ant-research",
        KEY_VIP="sk-ant-vip",
    )
    people = {
        "ada": rig.key,
        "rob": rig.new_key("rob", team="research"),
        "vera": rig.new_key("vera", team="research"),
    }
    threading.Event().wait(0.1)
    for key in people.values():
        ask(rig, "/v1/messages", key)
    assert [seen.headers[b"x-api-key"] for seen in rig.upstream.seen] == [
        b"sk-ant-ours",
        b"sk-ant-research",
        b"sk-ant-vip",
    ]
    assert [row["credential"] for row in rig.rows()] == ["default", "research", "vip"]


def test_a_missing_provider_key_is_a_503_that_names_the_variable(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(ANTHROPIC_API_KEY="")
    with rig.connect() as client:
        client.sendall(request(body=BODY, key=rig.key))
        head, body = receive_answer(client)
    assert head.startswith(b"HTTP/1.1 503")
    assert b"ANTHROPIC_API_KEY" in body
    assert rig.upstream.seen == []
    assert [(row["outcome"], row["error_type"]) for row in rig.rows()] == [("rejected", "no_credential")]


def test_a_provider_without_a_key_gets_no_credential_line(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(BYLINE_PROVIDERS__LOCAL__BASE_URL="PLACEHOLDER", BYLINE_PROVIDERS__LOCAL__KIND="openai")
    assert ask(rig, "/local/v1/chat/completions", rig.key).startswith(b"HTTP/1.1 200")
    assert b"authorization" not in rig.upstream.seen[0].headers
    assert rig.upstream.seen[0].body.startswith(b'{"model":"m"')


@pytest.mark.parametrize(
    ("family", "secret", "auth", "line"),
    [
        ("anthropic", "sk-ant-api03-x", "auto", b"x-api-key: sk-ant-api03-x"),
        ("anthropic", "sk-ant-oat01-x", "auto", b"Authorization: Bearer sk-ant-oat01-x"),
        ("anthropic", "sk-x", "bearer", b"Authorization: Bearer sk-x"),
        ("openai", "sk-x", "auto", b"Authorization: Bearer sk-x"),
        ("openai", "sk-x", "x-api-key", b"x-api-key: sk-x"),
    ],
)
def test_a_secret_goes_into_the_header_its_provider_wants(
    family: str, secret: str, auth: str, line: bytes
) -> None:
    assert credential_line(family, secret, auth) == line  # type: ignore[arg-type]
