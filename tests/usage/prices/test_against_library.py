"""The library's own arithmetic is the oracle, over its whole catalogue.

Left out, because the library's answer is not ours on purpose:

- models whose entry holds no price at all: it says 0 dollars, a price book must say "not known";
- kinds of service without a price on that day: it charges standard prices without a word;
- parts without a price of their own: the sums agree, but ours are marked `partial` (see test_cost).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from byline.usage.prices.book import PriceBook
from byline.usage.prices.catalogue import bundled

BOOK = PriceBook(bundled())
MODELS = [(provider, model) for provider in get_snapshot().providers for model in provider.models]
SERVED_AS = {
    (None, None): None,
    ("batch", None): {"processing": "batch"},
    ("flex", None): {"service_tier": "flex"},
    ("priority", None): {"service_tier": "priority"},
    (None, "fast"): {"speed": "fast"},
}
DECLARED_BY_US = {
    ("anthropic", "batch"),  # half price from the first day, where the library starts at its own check
    ("anthropic", "fast"),  # Opus 4.6 and 4.7, which the library lacks
}

tokens = st.one_of(
    st.integers(0, 2_000_000), st.sampled_from([0, 1, 100_000, 200_000, 200_001, 272_000, 272_001])
)
times = st.datetimes(datetime(2023, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def library_price(provider, model, at, context, counts) -> object:
    uncached, read, write_5m, write_1h, output, reasoning, searches = counts
    usage = types.Usage(
        input_tokens=uncached + read + write_5m + write_1h,
        cache_read_tokens=read,
        cache_write_tokens=write_5m + write_1h,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        output_tokens=output,
        output_reasoning_tokens=reasoning,
        web_searches=searches,
    )
    return model.calc_price(usage, provider, genai_request_timestamp=at, price_context=context).total_price


def names_itself(provider: types.Provider, model: types.ModelInfo) -> bool:
    """A few ids are caught by another entry's rule; the library never reaches those by their id."""
    return provider.find_model(model.id) is model


@settings(max_examples=1500, deadline=None)
@given(
    index=st.integers(0, len(MODELS) - 1),
    at=times,
    service=st.sampled_from(list(SERVED_AS)),
    uncached=tokens,
    read=tokens,
    write_5m=tokens,
    write_1h=tokens,
    output=tokens,
    reasoning_share=st.integers(0, 100),
    searches=st.integers(0, 20),
)
def test_every_listed_model_costs_what_the_library_says(
    index, at, service, uncached, read, write_5m, write_1h, output, reasoning_share, searches
) -> None:
    provider, model = MODELS[index]
    quote = BOOK.quote(provider.id, model.id, at, tier=service[0], speed=service[1])
    if quote.charge is None or quote.tariff is None or not names_itself(provider, model):
        return
    if (provider.id, service[0] or service[1]) in DECLARED_BY_US:
        return
    counts = (uncached, read, write_5m, write_1h, output, output * reasoning_share // 100, searches)
    assert quote.charge(*counts) == library_price(provider, model, at, SERVED_AS[service], counts)


def test_every_model_and_service_on_both_sides_of_every_price_change() -> None:
    counts = (150_001, 60_000, 7_001, 11_003, 4_007, 1_009, 3)
    compared = 0
    for provider, model in MODELS:
        if not names_itself(provider, model):
            continue
        for at in days_around_changes(model):
            for service, context in SERVED_AS.items():
                quote = BOOK.quote(provider.id, model.id, at, tier=service[0], speed=service[1])
                if quote.charge is None or (provider.id, service[0] or service[1]) in DECLARED_BY_US:
                    continue
                compared += 1
                assert quote.charge(*counts) == library_price(provider, model, at, context, counts), model.id
    assert compared > len(MODELS)


def days_around_changes(model: types.ModelInfo) -> set[datetime]:
    dated = [] if isinstance(model.prices, types.ModelPrice) else model.prices
    starts = [
        change.constraint.start_date
        for change in (*dated, *(model.price_variants or ()))
        if isinstance(change.constraint, types.StartDateConstraint)
    ]
    midnights = {datetime(start.year, start.month, start.day, tzinfo=UTC) for start in starts}
    return {datetime(2026, 11, 1, tzinfo=UTC)} | midnights | {at - timedelta(minutes=1) for at in midnights}


def test_every_listed_model_is_found_by_its_own_id() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    lost = [
        (provider.id, model.id)
        for provider, model in MODELS
        if names_itself(provider, model) and BOOK.quote(provider.id, model.id, at).model != model.id
    ]
    assert lost == []


def test_day_and_minute_are_fine_enough_for_every_price_change_in_the_data() -> None:
    changes = [
        price.constraint
        for _, model in MODELS
        if isinstance(model.prices, list)
        for price in model.prices
        if isinstance(price.constraint, types.TimeOfDateConstraint)
    ]
    assert changes
    for change in changes:
        for moment in (change.start_time, change.end_time):
            assert (moment.second, moment.microsecond) == (0, 0)


@given(
    index=st.integers(0, len(MODELS) - 1),
    ending=st.from_regex(r"-?[a-z0-9]{1,12}[xyz]", fullmatch=True),
)
@settings(max_examples=800, deadline=None)
def test_a_name_with_an_invented_ending_is_never_priced_as_the_model_it_begins_with(index, ending) -> None:
    provider, model = MODELS[index]
    invented = model.id + ending
    if any(invented == other.id for other in provider.models):
        return
    quote = BOOK.quote(provider.id, invented, datetime(2026, 11, 1, tzinfo=UTC))
    assert quote.model != model.id
