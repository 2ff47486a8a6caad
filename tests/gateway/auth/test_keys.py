"""The work of verifying a key is the same whether or not the key is known."""

from __future__ import annotations

import hmac

from byline.control.keys import create_key, secret_hash
from byline.gateway.auth import keys as module
from byline.gateway.auth.keys import KeySource


def test_every_whole_key_costs_one_hash_and_one_constant_time_comparison(
    database, directory, clock, monkeypatch
):
    key = create_key(database, "alice").text.encode()
    directory.refresh_if_changed()
    steps: list[tuple[str, int]] = []

    def hash_and_note(secret: bytes) -> bytes:
        steps.append(("hash", len(secret)))
        return secret_hash(secret)

    def compare_and_note(a: bytes, b: bytes) -> bool:
        steps.append(("compare", len(b)))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(module, "secret_hash", hash_and_note)
    monkeypatch.setattr(module, "compare_digest", compare_and_note)
    source = KeySource(directory, clock)
    known, wrong_secret, unknown_id = key, key[:-43] + b"s" * 43, b"byl_aaaaaaaaaaaa_" + key[-43:]
    traces = []
    for presented in (known, wrong_secret, unknown_id):
        steps.clear()
        source.verify(presented)
        traces.append(list(steps))
    assert traces == [[("hash", 43), ("compare", 32)]] * 3


def test_an_unknown_key_is_refused_even_if_its_hash_were_the_stand_in(directory, clock, monkeypatch):
    monkeypatch.setattr(module, "secret_hash", lambda secret: bytes(32))
    refusal = KeySource(directory, clock).verify(b"byl_aaaaaaaaaaaa_" + b"s" * 43)
    assert refusal.kind == "unknown_key"
