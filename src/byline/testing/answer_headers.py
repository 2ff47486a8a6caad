"""The headers of an answer: ids and quota as each family names them, and what the simulation adds."""

from __future__ import annotations

from email.utils import formatdate

from byline.testing.quota_headers import Spent, quota_headers
from byline.testing.shape import Family
from byline.testing.simulation import Simulation

_ORGANIZATION = "simulated-organization"
_SUBSCRIPTION_PREFIX = "sk-ant-oat"


def answer_headers(
    family: Family,
    simulation: Simulation,
    *,
    content_type: str,
    request_id: str,
    credential: str,
    spent: Spent,
    now_s: float,
) -> list[tuple[str, str]]:
    headers = {"date": formatdate(now_s, usegmt=True), "content-type": content_type}
    headers |= _ids(family, request_id)
    subscription = credential.startswith(_SUBSCRIPTION_PREFIX)
    headers |= quota_headers(family, simulation.quota, subscription=subscription, spent=spent, now_s=now_s)
    return list((headers | _ordered(simulation)).items())


def _ids(family: Family, request_id: str) -> dict[str, str]:
    if family == "anthropic":
        return {"request-id": request_id, "anthropic-organization-id": _ORGANIZATION}
    return {
        "x-request-id": request_id,
        "openai-organization": _ORGANIZATION,
        "openai-version": "2020-10-01",
        "openai-processing-ms": "12",
    }


def _ordered(simulation: Simulation) -> dict[str, str]:
    headers: dict[str, str] = {}
    if simulation.retry_after is not None:
        headers["retry-after"] = simulation.retry_after
    if simulation.should_retry is not None:
        headers["x-should-retry"] = str(simulation.should_retry).lower()
    if simulation.close:
        headers["connection"] = "close"
    return headers | simulation.headers
