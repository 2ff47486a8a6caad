"""Reads the lines of the intake routes: which columns a client may fill, and within which bounds.

Who a row is for, what it cost and where it came from are not among them.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

import msgspec

from byline.apis.api import ApiName, Iteration
from byline.identity.claims import clean_claim
from byline.telemetry.metadata import strip_pii
from byline.usage.columns import PRIVILEGED_PREFIX
from byline.usage.record import ABSENT, IdentityAction, Outcome, UsageRecord

MAX_AHEAD: Final = timedelta(hours=1)
MAX_BEHIND: Final = timedelta(days=400)
_NAMESPACE: Final = uuid.UUID("8b7e2d40-5b0a-4f0c-9c51-0e6a1f4f7a11")
_PRIVILEGED: Final = re.compile(PRIVILEGED_PREFIX + r"[a-z0-9_]{1,60}")
_MAX_PRIVILEGED_CHARS: Final = 512

Line = TypeVar("Line")
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
Text = Annotated[str, msgspec.Meta(max_length=512)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=10**9)]


class BadLine(ValueError):
    """Names the column; never quotes the line."""


class UsageLine(msgspec.Struct, kw_only=True):
    """What a client may say of a call that it made. Further members are passed over."""

    request_id: Id
    exchange_id: Id | None = None
    attempt: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    upstream_request_id: Text | None = None
    response_id: Text | None = None
    started_at: datetime
    ended_at: datetime | None = None
    duration_ms: Milliseconds | None = None
    ttft_ms: Milliseconds | None = None
    provider: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9._-]{1,64}$")]
    api: ApiName
    server_address: Text | None = None
    provider_organization: Text | None = None
    model_requested: Text | None = None
    model_reported: Text | None = None
    streaming: bool = False
    http_status: Annotated[int, msgspec.Meta(ge=100, le=999)] | None = None
    outcome: Outcome = "interrupted"
    finish_reason: Text | None = None
    usage_complete: bool | None = None
    error_type: Text | None = None
    identity_action: IdentityAction = "none"
    metadata_user_id: Text | None = None
    claimed_user: Text | None = None
    claimed_job: Text | None = None
    device_id: Text | None = None
    claude_code_session_id: Text | None = None
    session_id: Text | None = None
    agent_id: Text | None = None
    client: Text | None = None
    retry_count: Count | None = None
    input_tokens: Count | None = None
    input_uncached_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_write_5m_tokens: Count | None = None
    cache_write_1h_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    web_search_requests: Count | None = None
    iterations: Annotated[list[Iteration], msgspec.Meta(max_length=64)] | None = None
    service_tier: Text | None = None
    speed: Text | None = None
    inference_geo: Text | None = None
    raw_usage: msgspec.Raw = ABSENT


class EventLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A telemetry fact as a client sends it; `metadata` is flat. `pii_...` members are read apart."""

    event_id: Id
    event_name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
    occurred_at: datetime
    program: Text | None = None
    version: Text | None = None
    build: Text | None = None
    request_id: Id | None = None
    user: Text | None = None
    job: Text | None = None
    session_id: Text | None = None
    device_id: Text | None = None
    sample_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    metadata: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=128)], bool | int | float | str | None],
        msgspec.Meta(max_length=128),
    ] = {}


_usage_line = msgspec.json.Decoder(UsageLine)
_event_line = msgspec.json.Decoder(EventLine)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any_value = msgspec.json.Decoder(object)
_MAX_RAW_BYTES: Final = 16_384
_CLAIMS: Final = (
    "claimed_user",
    "claimed_job",
    "session_id",
    "claude_code_session_id",
    "device_id",
    "agent_id",
)


def read_usage(line: bytes, now: float, actor_id: str) -> UsageRecord:
    """A row without anybody's name on it, under an id of `actor_id`'s own."""
    said = _decode(_usage_line, line)
    _check_time("started_at", said.started_at, now)
    columns = msgspec.structs.asdict(said)
    columns["request_id"] = own_id(actor_id, said.request_id)
    columns["exchange_id"] = own_id(actor_id, said.exchange_id or said.request_id)
    if len(said.raw_usage) > _MAX_RAW_BYTES:
        raise BadLine(f"raw_usage is longer than {_MAX_RAW_BYTES} bytes")
    columns["raw_usage"] = msgspec.Raw(bytes(said.raw_usage).decode("utf-8", "replace"))
    for name in _CLAIMS:
        if columns[name] is not None:
            columns[name] = clean_claim(columns[name])
    return UsageRecord(source="client", **columns)


def read_event(line: bytes, now: float) -> dict[str, object]:
    """The columns of `api_events` that a client may fill, and where they came from."""
    said = _decode(_event_line, line)
    _check_time("occurred_at", said.occurred_at, now)
    columns: dict[str, object] = {
        name: value for name, value in msgspec.structs.asdict(said).items() if value is not None
    }
    columns["metadata"] = strip_pii(said.metadata)
    columns |= _privileged(line)
    columns["received_at"] = datetime.fromtimestamp(now, UTC)
    columns["source"] = "client"
    return columns


def own_id(actor_id: str, sent: str) -> str:
    """The same for the same sender and id, and never an id that a gateway has given or another sender
    has sent: whoever knows a row's id must not be able to be there first."""
    return str(uuid.uuid5(_NAMESPACE, f"{actor_id}\n{sent}"))


def _privileged(line: bytes) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, raw in _decode(_members, line).items():
        if name.startswith(PRIVILEGED_PREFIX):
            value = _decode(_any_value, raw)
            if not _PRIVILEGED.fullmatch(name) or not isinstance(value, str):
                raise BadLine(f"columns that begin with {PRIVILEGED_PREFIX} have plain names and hold text")
            found[name] = value[:_MAX_PRIVILEGED_CHARS]
    return found


def _decode(decoder: msgspec.json.Decoder[Line], line: bytes | msgspec.Raw) -> Line:
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        raise BadLine(str(error)) from None
    except (ValueError, RecursionError):
        raise BadLine("this line is no JSON") from None


def _check_time(name: str, time: datetime, now: float) -> None:
    if time.tzinfo is None:
        raise BadLine(f"{name} has no time zone; write UTC with a Z")
    ahead = time - datetime.fromtimestamp(now, UTC)
    if ahead > MAX_AHEAD or ahead < -MAX_BEHIND:
        raise BadLine(f"{name} is not within the last {MAX_BEHIND.days} days; is the sender's clock right?")
