"""Records the usage of instrumented clients that don't go through a gateway: `byline.record_usage`.

One row per answer, the same as a gateway's, with `source` client. What the gateway has counted
already is left to it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from byline.apis import chat_completions, messages, responses
from byline.apis.api import Api
from byline.runtime.answers import AnswerHead, SentCall, Unread, tap_answers
from byline.runtime.deliveries import GatewayDelivery, JournalDelivery
from byline.runtime.outbox import Outbox
from byline.usage.ids import new_uuid7
from byline.usage.reading import fill_usage
from byline.usage.record import Outcome, UsageRecord

URL_VARIABLE: Final = "BYLINE_URL"
KEY_VARIABLE: Final = "BYLINE_KEY"
DATA_DIR_VARIABLE: Final = "BYLINE_DATA_DIR"
_SESSION_VARIABLE: Final = "CLAUDE_CODE_SESSION_ID"
"""Claude Code sets it for the programs that it runs."""
_COUNTED_ALREADY: Final = "x-byline-request-id"
_APIS: Final[dict[str, Api]] = {
    "messages": messages,
    "chat.completions": chat_completions,
    "responses": responses,
}

Put = Callable[[UsageRecord], bool]
_outbox: Outbox[UsageRecord] | None = None


def record_usage(
    *, url: str | None = None, key: str | None = None, data_dir: str | os.PathLike[str] | None = None
) -> None:
    """Record what instrumented clients use, from now on, in the background.

    With `url` and `key`, or BYLINE_URL and BYLINE_KEY, rows go to that gateway. Else they are kept in
    the journal of `data_dir` (BYLINE_DATA_DIR, or `byline-data`) until `byline ingest` or a server.
    """
    global _outbox
    if _outbox is not None:
        _outbox.close()
    outbox = _outbox = Outbox("usage", _choose_delivery(os.environ, url, key, data_dir))
    tap_answers(
        lambda call, head: None if _COUNTED_ALREADY in head.headers else _Recorder(call, head, outbox.put)
    )


def flush_usage(timeout_s: float = 1.0) -> bool:
    """Waits until what was recorded is delivered; False if that takes longer. For tests and short scripts."""
    return _outbox is None or _outbox.flush(timeout_s)


def _choose_delivery(
    environ: Mapping[str, str], url: str | None, key: str | None, data_dir: str | os.PathLike[str] | None
) -> GatewayDelivery | JournalDelivery:
    if data_dir is None:
        url, key = url or environ.get(URL_VARIABLE), key or environ.get(KEY_VARIABLE)
        if url:
            if not key:
                raise ValueError(
                    "recording usage at a gateway needs a Byline key: pass key= or set BYLINE_KEY"
                )
            return GatewayDelivery(url, key)
        data_dir = environ.get(DATA_DIR_VARIABLE) or "byline-data"
    return JournalDelivery(Path(data_dir))


class _Recorder:
    """Makes one row of one answer."""

    def __init__(self, call: SentCall, head: AnswerHead, put: Put) -> None:
        self._record = open_record(call, head)
        self._call = call
        self._put = put
        self._meter = _APIS[call.api].meter(streaming=call.streaming)
        self._seen_body = False

    def feed(self, data: bytes) -> None:
        if not self._seen_body:
            self._seen_body = True
            self._record.ttft_ms = round((time.monotonic() - self._call.started) * 1000, 3)
        self._meter.feed(data)

    def finish(self, error: BaseException | None) -> None:
        if error is None:
            self._meter.finish()
        record, reading = self._record, self._meter.reading()
        fill_usage(record, reading)
        record.outcome = _outcome(record, error)
        record.ended_at = datetime.now(UTC)
        record.duration_ms = round((time.monotonic() - self._call.started) * 1000, 3)
        self._put(record)


def _outcome(record: UsageRecord, error: BaseException | None) -> Outcome:
    status = record.http_status or 0
    if status >= 400 or record.error_type is not None:
        record.error_type = record.error_type or f"http_{status}"
        return "upstream_error"
    if error is None or record.usage_complete:
        return "ok"
    return "client_disconnect" if isinstance(error, Unread | GeneratorExit) else "upstream_disconnect"


def open_record(call: SentCall, head: AnswerHead) -> UsageRecord:
    request_id = new_uuid7(call.started_at)
    session_id = os.environ.get(_SESSION_VARIABLE) or None
    headers = head.headers
    return UsageRecord(
        request_id=request_id,
        exchange_id=request_id,
        upstream_request_id=headers.get("request-id") or headers.get("x-request-id"),
        source="client",
        started_at=datetime.fromtimestamp(call.started_at, UTC),
        provider=call.family,
        api=call.api,
        server_address=head.server_address,
        provider_organization=headers.get("anthropic-organization-id") or headers.get("openai-organization"),
        model_requested=call.model,
        streaming=call.streaming,
        http_status=head.status,
        user=call.user,
        job=call.job,
        identifier=call.identity_sent,
        identity_action=call.identity_action,
        metadata_user_id=call.identity_sent,
        claimed_user=call.user,
        claimed_job=call.job,
        session_id=session_id,
        claude_code_session_id=session_id,
        client=_client(),
    )


@lru_cache(maxsize=1)
def _client() -> str:
    from byline import __version__

    return f"byline/{__version__.partition('+')[0]}"
