"""Keys, tokens and proxies over the wire: what is let in, what travels on, and how soon changes count."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from tests.gateway.conftest import Rig, dechunk, receive_answer, receive_until, request
from tests.gateway.token_issuer import AUDIENCE, ISSUER, JwksServer, Signer
from tests.gateway.upstream_script import Captured

from byline.control.database import open_control
from byline.control.keys import revoke_key

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def ask(rig: Rig, key: str, **more: str) -> tuple[int, dict]:
    with rig.connect() as client:
        client.sendall(request(key=key, **more))
        head, body = receive_answer(client)
    return int(head.split()[1]), json.loads(body)


def readiness(rig: Rig) -> bytes:
    with rig.connect() as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: gateway\r\n\r\n")
        return receive_answer(client)[1]


def until(happens: Callable[[], bool]) -> None:
    """Fails after far longer than the second in which every change has to count."""
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def revoke(rig: Rig, key: str) -> None:
    with open_control(rig.data_dir / "control.sqlite3") as control:
        revoke_key(control, key[4:16])


def test_a_key_made_while_serving_is_accepted_and_a_revoked_one_refused_soon_after(rig: Rig) -> None:
    key = rig.new_key("bob")
    until(lambda: ask(rig, key)[0] == 200)
    revoke(rig, key)
    until(lambda: ask(rig, key)[0] == 401)
    sent = len(rig.upstream.seen)
    status, error = ask(rig, key)
    assert (status, error["type"], error["error"]["type"]) == (401, "error", "authentication_error")
    assert f"{key[4:16]} was revoked" in error["error"]["message"]
    assert key[17:] not in json.dumps(error)
    assert len(rig.upstream.seen) == sent


def test_a_stream_in_flight_outlives_its_key(rig: Rig) -> None:
    go_on = threading.Event()

    def stream(seen: Captured) -> None:
        seen.connection.sendall(SSE + b"3\r\none\r\n")
        assert go_on.wait(20)
        seen.connection.sendall(b"3\r\ntwo\r\n0\r\n\r\n")

    rig.upstream.scripts.insert(0, stream)
    with rig.connect() as client:
        client.sendall(request(key=rig.key))
        data = receive_until(client, b"one\r\n")
        revoke(rig, rig.key)
        until(lambda: ask(rig, rig.key)[0] == 401)
        go_on.set()
        data += receive_until(client, b"0\r\n\r\n")
    assert dechunk(data.partition(b"\r\n\r\n")[2]) == b"onetwo"


def test_without_a_control_database_known_keys_serve_on(rig: Rig) -> None:
    assert ask(rig, rig.key)[0] == 200
    (rig.data_dir / "control.sqlite3").rename(rig.data_dir / "away.sqlite3")
    until(lambda: b"control database" in readiness(rig))
    assert ask(rig, rig.key)[0] == 200


def test_without_a_control_database_known_keys_serve_until_max_stale_then_503(make_rig) -> None:
    rig = make_rig(BYLINE_KEYS__MAX_STALE="500ms")
    assert ask(rig, rig.key)[0] == 200
    database = rig.data_dir / "control.sqlite3"
    away = database.rename(rig.data_dir / "away.sqlite3")
    until(lambda: ask(rig, rig.key)[0] == 503)
    sent = len(rig.upstream.seen)
    assert "can't be verified" in ask(rig, rig.key)[1]["error"]["message"]
    assert len(rig.upstream.seen) == sent
    away.rename(database)
    until(lambda: ask(rig, rig.key)[0] == 200)


def test_the_time_of_last_use_is_written_while_stopping_at_the_latest(rig: Rig) -> None:
    ask(rig, rig.key)
    rig.stop()
    with open_control(rig.data_dir / "control.sqlite3") as control:
        [(used_at,)] = control.rows("SELECT last_used_at FROM keys")
    assert abs(used_at - time.time()) < 60


@pytest.mark.parametrize(
    "header", ["authorization: Bearer own-token", "x-api-key: sk-ant-own", "Authorization: bearer own-token"]
)
def test_only_the_clients_own_credential_travels_on_beside_x_byline_key(rig: Rig, header: str) -> None:
    assert ask(rig, rig.key, header="X-Byline-Key", extra=f"{header}\r\n")[0] == 200
    lines = rig.upstream.seen[0].head.split(b"\r\n")
    credentials = [line for line in lines if line.lower().startswith((b"authorization:", b"x-api-key:"))]
    assert [line.lower() for line in credentials] == [header.lower().encode()]
    assert rig.key.encode() not in rig.upstream.seen[0].head


def test_a_provider_key_without_x_byline_key_is_refused_with_the_remedy(rig: Rig) -> None:
    status, error = ask(rig, "sk-ant-own")
    assert status == 401
    assert "X-Byline-Key" in error["error"]["message"]
    assert rig.upstream.seen == []


def test_a_token_is_accepted_its_signing_key_fetched_on_first_sight(make_rig) -> None:
    signer = Signer("k1")
    token = signer.token(exp=time.time() + 600, preferred_username="zoe", team="core").decode()
    with JwksServer() as issuer:
        rig = make_rig(
            BYLINE_AUTH__JWT__ISSUER=ISSUER,
            BYLINE_AUTH__JWT__AUDIENCE=AUDIENCE,
            BYLINE_AUTH__JWT__JWKS_URL=issuer.url,
        )
        issuer.publish(signer)
        for _ in range(3):
            assert ask(rig, f"Bearer {token}", header="authorization")[0] == 200
        assert issuer.asked == 1
        assert ask(rig, f"Bearer {token[:-6]}AAAAAA", header="authorization")[0] == 401
    assert token.encode() not in rig.upstream.seen[0].head
    rows = rig.rows()
    assert {(row["user"], row["team"], row["auth_source"], row["actor_id"]) for row in rows} == {
        ("zoe", "core", "jwt", "alice-id")
    }
    assert token[-40:] not in json.dumps(rows)


def test_the_body_of_a_token_refused_after_a_fetch_is_never_read_as_a_request(make_rig) -> None:
    stranger = Signer("k9").token(exp=time.time() + 600).decode()
    body = request(body=b'{"model":"m"}', key="PLACE")
    with JwksServer() as issuer:
        rig = make_rig(
            BYLINE_AUTH__JWT__ISSUER=ISSUER,
            BYLINE_AUTH__JWT__AUDIENCE=AUDIENCE,
            BYLINE_AUTH__JWT__JWKS_URL=issuer.url,
        )
        issuer.publish(Signer("k1"))
        smuggled = body.replace(b"PLACE", rig.key.encode())
        carrier = request(body=smuggled, key=f"Bearer {stranger}", header="authorization")
        with rig.connect() as client:
            client.sendall(carrier + b"GET /healthz HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
            got = receive_until(client, b"never")
    assert [line[9:12] for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")] == [b"401"]
    assert got.endswith(b'{"status":"ok"}')
    assert rig.upstream.seen == []


def test_a_trusted_proxys_user_is_believed_and_its_headers_stay_here(make_rig) -> None:
    rig = make_rig(BYLINE_AUTH__PROXY__TRUSTED_ADDRESSES="127.0.0.0/8")
    assert ask(rig, "carol", header="X-Forwarded-User", extra="X-Forwarded-Groups: ops\r\n")[0] == 200
    head = rig.upstream.seen[0].head.lower()
    assert b"carol" not in head
    assert b"x-forwarded" not in head
    [row] = rig.rows()
    assert (row["user"], row["team"], row["auth_source"]) == ("carol", "ops", "proxy")


def test_a_proxys_header_from_anybody_else_is_worth_nothing(rig: Rig) -> None:
    assert ask(rig, "carol", header="X-Forwarded-User")[0] == 401
    assert rig.upstream.seen == []


def test_a_delegating_key_acts_for_a_user_and_the_row_names_both(rig: Rig) -> None:
    service = rig.new_key("batch", may_claim_user=True)
    until(lambda: ask(rig, service)[0] == 200)
    ask(rig, service, extra="X-Byline-User: ada\r\nX-Byline-Job: nightly\r\n")
    ask(rig, rig.key, extra="X-Byline-User: batch\r\n")
    delegated, plain = rig.rows()[-2:]
    assert (delegated["user"], delegated["job"], delegated["claimed_user"]) == ("ada", "nightly", "ada")
    assert delegated["actor_id"] != plain["actor_id"]
    assert delegated["identifier"] == plain["identifier"] == plain["actor_id"]
    assert (plain["user"], plain["claimed_user"]) == ("ada", "batch")
