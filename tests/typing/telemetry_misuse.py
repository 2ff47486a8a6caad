"""What telemetry must not take: every marked line is an error, to mypy and to pyright.

The marks are what is tested. Both checkers are told to complain about a mark that suppresses nothing,
so a misuse that becomes acceptable fails the check.
"""

from __future__ import annotations

from typing import LiteralString

import byline
from byline.telemetry.metadata import Metadata, PiiMetadata
from byline.telemetry.verified import PiiTagged, Verified


def misuses(text: str, model: Verified, email: PiiTagged, texts: list[str], literal: LiteralString) -> None:
    byline.log_event("e", {"q": text})  # type: ignore[dict-item]
    byline.log_event("e", {"q": "a literal"})  # type: ignore[dict-item]
    byline.log_event("e", {"q": literal})  # type: ignore[dict-item]
    byline.log_event("e", {"q": f"{model}"})  # type: ignore[dict-item]
    byline.log_event("e", {"q": model + "/x"})  # type: ignore[dict-item]
    byline.log_event("e", {"q": model.lower()})  # type: ignore[dict-item]
    byline.log_event("e", {"q": model[:3]})  # type: ignore[dict-item]
    byline.log_event("e", {"q": str(model)})  # type: ignore[dict-item]
    byline.log_event("e", {"q": ", ".join([model])})  # type: ignore[dict-item]
    byline.log_event("e", {"q": email})  # type: ignore[dict-item]
    byline.log_event("e", {"q": texts})  # type: ignore[dict-item]
    byline.log_event("e", {"q": {"nested": text}})  # type: ignore[dict-item]
    byline.log_event("e", {"q": text.encode()})  # type: ignore[dict-item]
    byline.log_event("e", {"q": ValueError(text)})  # type: ignore[dict-item]
    byline.log_event("e", {1: model})  # type: ignore[dict-item]
    byline.log_event("e", dict(q=text))  # type: ignore[dict-item]  # noqa: C408
    byline.log_event("e", {"ok": True}, pii={"email": text})  # type: ignore[dict-item]
    byline.log_event("e", {"ok": True}, pii={"email": model})  # type: ignore[dict-item]
    byline.log_event("e", {"ok": True}, pii={"email": 1})  # type: ignore[dict-item]
    byline.log_event(1, {})  # type: ignore[arg-type]
    byline.log_event("e", text)  # type: ignore[arg-type]
    byline.log_event_async("e", {"q": text})  # type: ignore[dict-item]
    byline.log_event_async("e", {"ok": True}, pii={"email": text})  # type: ignore[dict-item]
    metadata: Metadata = {"q": text}  # type: ignore[dict-item]
    pii: PiiMetadata = {"email": model}  # type: ignore[dict-item]
    plain: dict[str, str] = {"q": text}
    byline.log_event("e", plain)  # type: ignore[arg-type]
    verified: Verified = text  # type: ignore[assignment]
    other: Verified = email  # type: ignore[assignment]
    tagged: PiiTagged = model  # type: ignore[assignment]
    byline.not_code_or_path(3)  # type: ignore[arg-type]
    byline.attach_sink(print)  # type: ignore[arg-type]
    print(metadata, pii, verified, other, tagged)


class MyVerified(Verified):  # type: ignore[misc]
    """Final: a subclass could be made from anything."""
