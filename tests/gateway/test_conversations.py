"""Which bodies are known by their beginnings, and for how long."""

from __future__ import annotations

from byline.gateway.conversations import Conversations
from byline.wire.compact import CompactReader

READER = CompactReader(["model"])


def body(topic: str, turns: int) -> memoryview:
    messages = ",".join(f'"{topic} {number}"' for number in range(turns))
    return memoryview(f'{{"model":"m","messages":[{messages}]}}'.encode())


def take(conversations: Conversations, text: memoryview) -> bool:
    """As the gateway takes a body: known, or read and kept."""
    if conversations.find(b"head", text) is not None:
        return True
    found = READER.read(text)
    assert found is not None
    conversations.keep(b"head", text, found)
    return False


def test_several_conversations_of_one_client_go_on_side_by_side() -> None:
    conversations = Conversations()
    first = [take(conversations, body(topic, 20)) for topic in ("a", "b", "c", "d")]
    second = [take(conversations, body(topic, 22)) for topic in ("a", "b", "c", "d")]
    assert (first, second) == ([False] * 4, [True] * 4)


def test_a_client_whose_bodies_continued_nothing_is_tried_again_in_time() -> None:
    conversations = Conversations()
    assert not any(take(conversations, body(f"other {number}", 20)) for number in range(100))
    taken = [take(conversations, body("at last", 20 + number)) for number in range(70)]
    assert not taken[0]
    assert taken[-1]
