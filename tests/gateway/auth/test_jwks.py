"""Signing keys: what is taken from a JWKS, and how it is kept fresh."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from byline.gateway.auth.jwks import (
    MAX_DOCUMENT_BYTES,
    JwksError,
    SigningKeys,
    file_fetch,
    parse_key_set,
    url_fetch,
)


def document(*jwks: object) -> bytes:
    return json.dumps({"keys": jwks}).encode()


def test_keys_are_found_by_id_and_algorithm(ec_signer, rsa_signer):
    keys = parse_key_set(document(ec_signer.jwk, rsa_signer.jwk))
    assert keys.find("ec-1", "ES256").key_id == "ec-1"
    assert keys.find("rsa-1", "RS256").key_id == "rsa-1"
    assert keys.find("ec-1", "RS256") is None
    assert keys.find("other", "ES256") is None


def test_keys_for_other_purposes_and_symmetric_ones_are_left_out(ec_signer):
    unusable = [
        {**ec_signer.jwk, "kid": "enc", "use": "enc"},
        {**ec_signer.jwk, "kid": "ops", "key_ops": ["sign"]},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
    ]
    keys = parse_key_set(document(*unusable, ec_signer.jwk))
    for kid in ("enc", "ops", "shared"):
        assert keys.find(kid, "ES256") is None
    with pytest.raises(JwksError, match="no public signing key"):
        parse_key_set(document(*unusable))


def test_a_key_that_cannot_be_built_spoils_no_other(ec_signer):
    broken = {"kty": "EC", "crv": "P-256", "x": "!", "y": "!", "kid": "broken"}
    keys = parse_key_set(document(broken, ec_signer.jwk))
    assert keys.find("broken", "ES256") is None
    assert keys.find("ec-1", "ES256") is not None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b'{"keys":7}', b'{"keys":[]}', b'{"keys":[7]}', b"<html>", b"[" * 100_000, b"\xff",
     b" " * (MAX_DOCUMENT_BYTES + 1)],
)  # fmt: skip
def test_what_is_no_key_set_is_refused(content):
    with pytest.raises(JwksError):
        parse_key_set(content)


@pytest.mark.parametrize(
    "url", ["http://login.example.com/jwks", "ftp://127.0.0.1/jwks", "file:///etc/passwd", "http://10.0.0.1/jwks", "login"]
)  # fmt: skip
def test_keys_are_fetched_over_https_or_from_this_machine_alone(url):
    with pytest.raises(ValueError, match="must begin with https://"):
        url_fetch(url)


def test_https_localhost_and_loopback_urls_are_accepted():
    for url in ("https://login.example.com/jwks", "http://localhost:1/jwks", "http://[::1]:1/jwks"):
        url_fetch(url)


def test_keys_are_fetched_from_a_server(jwks_server, ec_signer):
    jwks_server.publish(ec_signer)
    assert parse_key_set(url_fetch(jwks_server.url)()).find("ec-1", "ES256") is not None


def test_a_proxy_of_the_environment_is_not_asked_for_a_loopback_url(jwks_server, ec_signer, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    jwks_server.publish(ec_signer)
    assert url_fetch(jwks_server.url)() == jwks_server.body


def test_redirects_and_errors_are_failures(jwks_server, ec_signer):
    jwks_server.publish(ec_signer)
    for status in (301, 302, 307, 404, 500):
        jwks_server.status, jwks_server.headers = status, {"location": jwks_server.url}
        with pytest.raises(OSError):
            url_fetch(jwks_server.url)()


def test_a_huge_answer_is_not_read_to_its_end(jwks_server):
    jwks_server.body = b"x" * (4 * MAX_DOCUMENT_BYTES)
    assert len(url_fetch(jwks_server.url)()) < 2 * MAX_DOCUMENT_BYTES


def test_a_file_is_read_again_on_refresh(tmp_path, ec_signer, rsa_signer, clock):
    path = tmp_path / "jwks.json"
    path.write_bytes(document(ec_signer.jwk))

    async def run():
        keys = SigningKeys(file_fetch(path), refresh_interval_s=300, clock=clock)
        await keys.refresh()
        assert keys.current.find("rsa-1", "RS256") is None
        path.write_bytes(document(rsa_signer.jwk))
        await keys.refresh()
        assert keys.current.find("rsa-1", "RS256") is not None
        assert keys.generation == 2
        await keys.refresh()
        assert keys.generation == 2, "the same content is no new generation"

    asyncio.run(run())


@pytest.mark.parametrize("broken", [b"<html>", b'{"keys":[]}', None])
def test_the_last_good_set_is_kept_while_no_newer_one_can_be_had(tmp_path, ec_signer, clock, broken):
    path = tmp_path / "jwks.json"
    path.write_bytes(document(ec_signer.jwk))

    async def run():
        keys = SigningKeys(file_fetch(path), refresh_interval_s=300, clock=clock)
        await keys.refresh()
        assert keys.problem is None
        path.unlink() if broken is None else path.write_bytes(broken)
        await keys.refresh()
        assert keys.current.find("ec-1", "ES256") is not None
        assert keys.problem is not None
        path.write_bytes(document(ec_signer.jwk))
        await keys.refresh()
        assert keys.problem is None

    asyncio.run(run())


def test_a_due_refresh_happens_in_the_background_and_once(ec_signer, clock):
    release = threading.Event()
    fetches = []

    def fetch() -> bytes:
        fetches.append(threading.current_thread())
        release.wait()
        return document(ec_signer.jwk)

    async def run():
        keys = SigningKeys(fetch, refresh_interval_s=300, clock=clock)
        for _ in range(3):
            keys.refresh_if_due()
        assert keys.current is None
        waiting = asyncio.gather(keys.refresh(), keys.refresh())
        await asyncio.sleep(0)
        release.set()
        await waiting
        assert keys.current is not None
        assert len(fetches) == 1
        assert fetches[0] is not threading.current_thread()
        clock.at += 299
        keys.refresh_if_due()
        clock.at += 1
        keys.refresh_if_due()
        await keys.refresh()
        assert len(fetches) == 2

    asyncio.run(run())


def test_a_waiter_that_hangs_up_does_not_end_the_fetch_of_the_others(ec_signer, clock):
    release = threading.Event()

    def fetch() -> bytes:
        release.wait()
        return document(ec_signer.jwk)

    async def run():
        keys = SigningKeys(fetch, refresh_interval_s=300, clock=clock)
        impatient = asyncio.create_task(keys.refresh())
        patient = asyncio.create_task(keys.refresh())
        await asyncio.sleep(0)
        impatient.cancel()
        release.set()
        await patient
        assert keys.current is not None

    asyncio.run(run())
