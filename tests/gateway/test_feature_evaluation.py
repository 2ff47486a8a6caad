"""How the evaluation of features ends with its worker."""

from __future__ import annotations

import asyncio

import pytest

from byline.flags.payload import parse_payload
from byline.gateway.feature_evaluation import Asked, RequestFeatures, Stopping


def test_a_request_that_was_taken_as_the_worker_ends_is_told_so() -> None:
    payload = parse_payload(b'{"features": {"plain": {"defaultValue": 1}}}')

    async def close_before_it_runs() -> None:
        features = RequestFeatures(lambda: payload, is_expected=True)
        assert await features.evaluate(payload, Asked({})) == {"plain": {"defaultValue": 1}}
        taken = asyncio.ensure_future(features.evaluate(payload, Asked({})))
        features.close()
        with pytest.raises(Stopping):
            await taken
        assert await features.value("plain", 7, {}) == 7

    asyncio.run(close_before_it_runs())
