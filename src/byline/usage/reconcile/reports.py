"""Reads the reports of the providers' admin APIs, fresh from them or from files.

- Anthropic: `usage_report/messages` and `cost_report`
  https://platform.claude.com/docs/en/api/admin/usage_report/retrieve_messages
  https://platform.claude.com/docs/en/api/admin/cost_report
- OpenAI: `usage/completions` and `costs`
  https://developers.openai.com/api/reference/resources/organization
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal, cast

import msgspec

from byline.usage.reconcile.figures import Book, Figures, add, undated

Family = Literal["anthropic", "openai"]
CONTRACT_TIERS: Final = frozenset({"priority", "scale"})


class ReportError(ValueError):
    """The report can't be read; the message names what stands in it instead."""


class Page(msgspec.Struct, frozen=True):
    """One answer of any of the reports."""

    data: list[dict[str, Any]]
    has_more: bool = False
    next_page: str | None = None


class Report(msgspec.Struct, frozen=True):
    book: Book
    has_usage: bool
    has_costs: bool
    cut_off: bool
    """The last page says that there are more."""


class _CacheCreation(msgspec.Struct, frozen=True):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class _AnthropicUsage(msgspec.Struct, frozen=True):
    uncached_input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int = 0
    cache_creation: _CacheCreation = _CacheCreation()
    model: str | None = None
    service_tier: str | None = None

    def figures(self) -> Figures:
        written = (
            self.cache_creation.ephemeral_5m_input_tokens + self.cache_creation.ephemeral_1h_input_tokens
        )
        total = self.uncached_input_tokens + self.cache_read_input_tokens + written
        return Figures(
            input_tokens=total,
            cache_read_tokens=self.cache_read_input_tokens,
            cache_write_tokens=written,
            output_tokens=self.output_tokens,
            priority_tokens=total + self.output_tokens if self.service_tier in CONTRACT_TIERS else 0,
        )


class _AnthropicCost(msgspec.Struct, frozen=True):
    amount: Decimal
    """In cents."""
    currency: str
    model: str | None = None
    cost_type: str | None = None
    description: str | None = None

    def line(self) -> str:
        return undated(self.model) if self.model else f"({self.cost_type or self.description or 'no model'})"

    def figures(self) -> Figures:
        return Figures(cost_usd=_dollars(self.amount / 100, self.currency))


class _OpenAIUsage(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int = 0
    num_model_requests: int = 0
    input_cached_tokens: int | None = None
    input_cache_write_tokens: int | None = None
    model: str | None = None
    service_tier: str | None = None

    def figures(self) -> Figures:
        return Figures(
            requests=self.num_model_requests,
            input_tokens=self.input_tokens,
            cache_read_tokens=self.input_cached_tokens or 0,
            cache_write_tokens=self.input_cache_write_tokens or 0,
            output_tokens=self.output_tokens,
            priority_tokens=self.input_tokens + self.output_tokens
            if self.service_tier in CONTRACT_TIERS
            else 0,
        )


class _Amount(msgspec.Struct, frozen=True):
    value: Decimal
    currency: str = "usd"


class _OpenAICost(msgspec.Struct, frozen=True):
    amount: _Amount
    line_item: str | None = None
    """`gpt-6-astra, input_tokens`: the model comes before the comma."""

    def line(self) -> str:
        model, comma, _ = (self.line_item or "").partition(",")
        return undated(model.strip()) if comma else f"({self.line_item or 'no model'})"

    def figures(self) -> Figures:
        return Figures(cost_usd=_dollars(self.amount.value, self.amount.currency))


_Result = _AnthropicUsage | _AnthropicCost | _OpenAIUsage | _OpenAICost


def pages_in(data: bytes) -> list[Page]:
    """The pages of a file: one answer as it came, a list of answers, or one a line. Raises ReportError."""
    try:
        whole = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return [_page(part) for part in _lines(data)]
    return [_page(part) for part in (cast("list[Any]", whole) if isinstance(whole, list) else [whole])]


def read(pages: Iterable[Page], family: Family) -> Report:
    """Sums up pages of usage and of costs, in any mixture. Raises ReportError."""
    book: Book = {}
    kinds: set[type[_Result]] = set()
    cut_off = False
    for page in pages:
        cut_off = page.has_more
        for bucket in page.data:
            day = _day(bucket)
            for raw in _results(bucket):
                result = _result(raw, family)
                kinds.add(type(result))
                add(book, (day, _line(result)), result.figures())
    costs = {_AnthropicCost, _OpenAICost}
    return Report(book, bool(kinds - costs), bool(kinds & costs), cut_off)


def _line(result: _Result) -> str:
    return result.line() if isinstance(result, _AnthropicCost | _OpenAICost) else undated(result.model)


def _result(raw: dict[str, Any], family: Family) -> _Result:
    kinds: dict[Family, Callable[[], type[_Result]]] = {
        "anthropic": lambda: _AnthropicCost if "amount" in raw else _AnthropicUsage,
        "openai": lambda: _OpenAICost if "amount" in raw else _OpenAIUsage,
    }
    try:
        return msgspec.convert(raw, kinds[family]())
    except msgspec.ValidationError as error:
        raise ReportError(f"this is no usage or cost report of {family}: {error}") from None


def _lines(data: bytes) -> list[Any]:
    try:
        return [msgspec.json.decode(line) for line in data.splitlines() if line.strip()]
    except msgspec.DecodeError:
        raise ReportError(
            "this is not JSON: pass the answers of the admin API as they came (CSV exports of the console "
            "lack the split that a comparison needs)"
        ) from None


def _page(part: Any) -> Page:
    try:
        return msgspec.convert(part, Page)
    except msgspec.ValidationError as error:
        raise ReportError(f"this is no answer of an admin API: {error}") from None


def _day(bucket: dict[str, Any]) -> Any:
    """Anthropic writes times, OpenAI Unix seconds; both cut days in UTC."""
    start = bucket.get("starting_at", bucket.get("start_time"))
    try:
        if isinstance(start, str):
            return datetime.fromisoformat(start).astimezone(UTC).date()
        if isinstance(start, (int, float)):
            return datetime.fromtimestamp(start, UTC).date()
    except (ValueError, OverflowError, OSError):
        pass
    raise ReportError("a bucket of this report has no starting_at or start_time")


def _results(bucket: dict[str, Any]) -> list[dict[str, Any]]:
    results = bucket.get("results", bucket.get("result"))
    if not isinstance(results, list):
        raise ReportError("a bucket of this report has no results")
    return cast("list[dict[str, Any]]", results)


def _dollars(amount: Decimal, currency: str) -> Decimal:
    if currency.lower() != "usd":
        raise ReportError(f"this report counts in {currency}; the ledger counts in USD")
    return amount
