"""The answer to `GET /v1/models`, in either family's shape."""

from __future__ import annotations

from byline.testing.shape import Family, Json

_CLAUDE = {
    "claude-opus-4-7": "Claude Opus 4.7",
    "claude-sonnet-4-6": "Claude Sonnet 4.6",
    "claude-haiku-4-5-20251001": "Claude Haiku 4.5",
}
_GPT = ("gpt-5.1", "gpt-5-mini", "gpt-4.1")


def listing(family: Family) -> Json:
    if family == "anthropic":
        created = {"type": "model", "created_at": "2026-02-17T00:00:00Z"}
        models = [{**created, "id": name, "display_name": shown} for name, shown in _CLAUDE.items()]
        return {"data": models, "has_more": False, "first_id": models[0]["id"], "last_id": models[-1]["id"]}
    owned = {"object": "model", "created": 1_762_732_800, "owned_by": "openai"}
    return {"object": "list", "data": [{**owned, "id": name} for name in _GPT]}
