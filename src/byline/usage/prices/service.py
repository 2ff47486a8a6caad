"""How the kind of service changes a price: tiers, batches, fast inference, regions.

The catalogue has prices for some of these. What it lacks and a provider has published is declared
here as a factor on the standard price, with its source and the day it was read. What nobody has
published has no price: the caller is told why, and nothing is guessed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import msgspec

RULES_EDITION: Final = "2026-11-21"
"""Part of every price version: change it with any factor below."""

STANDARD: Final = frozenset({"", "standard", "default", "auto", "on_demand", "global", "not_available"})

# Batches cost half of every token price, cache included, since the API opened on 2024-10-08; the
# catalogue dates its own figures from the day they were checked.
# https://platform.claude.com/docs/en/build-with-claude/batch-processing (read 2026-11-21)
ANTHROPIC_BATCH: Final = Decimal("0.5")

# Six times the standard price, on top of long-context and cache prices.
# https://platform.claude.com/docs/en/build-with-claude/fast-mode (as of Opus 4.6 and 4.7, read 2026-11-21)
ANTHROPIC_FAST: Final = {"claude-opus-4-6": Decimal(6), "claude-opus-4-7": Decimal(6)}

# `inference_geo: "us"` costs 1.1 times every token price from Opus 4.6 on; models before it have no
# choice of region and keep their price.
# https://platform.claude.com/docs/en/about-claude/pricing (read 2026-11-21)
ANTHROPIC_US: Final = Decimal("1.1")
_ANTHROPIC_WITHOUT_REGION = re.compile(r"claude-(?:v1|2|3|(?:opus|sonnet|haiku)-4-[0-5]$)")

# Regional hosts (`eu.api.openai.com`) cost 10 % more for models released from 2026-03-05 on, which
# begins with GPT-5.4.
# https://developers.openai.com/api/docs/guides/data-residency (read 2026-11-21)
OPENAI_REGIONAL: Final = Decimal("1.1")
_OPENAI_REGIONAL_MODELS = re.compile(r"gpt-(?:5\.[4-9]|[6-9])")
_OPENAI_EARLIER_MODELS = re.compile(r"(?:ft:)?(?:gpt-(?:3|4|5(?!\.[4-9]))|chatgpt-4o|o[134])")


class Service(msgspec.Struct, frozen=True):
    """The kind of service a request got, as its answer and its address say."""

    tier: str = ""
    speed: str = ""
    region: str = ""


class Terms(msgspec.Struct, frozen=True):
    """What a Service means for a price: `factor` on the price of `variant` (None: the standard one)."""

    factor: Decimal = Decimal(1)
    variant: tuple[str, str] | None = None
    otherwise: Decimal | None = None
    """Factor on the standard price where the catalogue has no price of `variant`."""


class UnpublishedPriceError(LookupError):
    """The model is known; what the kind of service costs is not. `str(error)` says which kind."""


def service_of(tier: str | None, speed: str | None, region: str | None, host: str | None) -> Service:
    """Standard service in any spelling reads as the empty string."""
    if not region and host and host.endswith(".api.openai.com"):
        region = host.removesuffix(".api.openai.com")
    return Service(_plain(tier), _plain(speed), _plain(region))


def terms(price_list: str, model_id: str, service: Service) -> Terms:
    """Raises UnpublishedPriceError."""
    region = _region_factor(price_list, model_id, service.region)
    if service.tier and service.speed:
        raise UnpublishedPriceError(f"{service.tier} service at {service.speed} speed")
    if service.speed:
        return _speed_terms(price_list, model_id, service.speed, region)
    return _tier_terms(price_list, service.tier, region)


def _plain(value: str | None) -> str:
    return "" if value is None or value in STANDARD else value


def _tier_terms(price_list: str, tier: str, factor: Decimal) -> Terms:
    if not tier:
        return Terms(factor)
    if tier == "batch":
        return Terms(factor, ("processing", "batch"), ANTHROPIC_BATCH if price_list == "anthropic" else None)
    # Anthropic's priority tier draws on capacity bought by contract, OpenAI's scale tier likewise:
    # the catalogue has neither, so both end as a price that is not published.
    return Terms(factor, ("service_tier", tier))


def _speed_terms(price_list: str, model_id: str, speed: str, factor: Decimal) -> Terms:
    otherwise = ANTHROPIC_FAST.get(model_id) if price_list == "anthropic" and speed == "fast" else None
    return Terms(factor, ("speed", speed), otherwise)


def _region_factor(price_list: str, model_id: str, region: str) -> Decimal:
    if not region:
        return Decimal(1)
    if price_list == "anthropic" and region == "us":
        return Decimal(1) if _ANTHROPIC_WITHOUT_REGION.match(model_id) else ANTHROPIC_US
    if price_list == "openai" and _OPENAI_REGIONAL_MODELS.match(model_id):
        return OPENAI_REGIONAL
    if price_list == "openai" and _OPENAI_EARLIER_MODELS.match(model_id):
        return Decimal(1)
    raise UnpublishedPriceError(f"inference in region {region!r}")
