"""Which client sent a request, as its User-Agent says."""

from __future__ import annotations

import re

_PRODUCT = re.compile(r"[A-Za-z0-9_.+-]{1,64}(?:/[A-Za-z0-9_.+-]{1,32})?")
_known: dict[bytes, str | None] = {}


def read_client_product(user_agent: bytes | None) -> str | None:
    """The first product token, such as `claude-cli/2.1.330`; None where there is none.

    The `OpenAI/Python 3.54.0` form of the OpenAI SDKs becomes `OpenAI-Python/3.54.0`.
    """
    if not user_agent:
        return None
    product = _known.get(user_agent)
    if product is None:
        product = _read(user_agent.decode("latin-1"))
        if len(_known) >= 1024:
            _known.clear()
        _known[user_agent] = product
    return product


def _read(user_agent: str) -> str | None:
    vendor = re.match(r"(?:Async)?(OpenAI|Anthropic)/(Python|JS) ([0-9][\w.+-]{0,24})", user_agent)
    if vendor:
        return f"{vendor[1]}-{vendor[2]}/{vendor[3]}"
    match = _PRODUCT.match(user_agent)
    return match[0] if match else None
