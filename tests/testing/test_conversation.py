from __future__ import annotations

from byline.testing.conversation import Prompt, ToolCall, Turn, reply_to
from byline.testing.tokens import Usage


def call_after(*turns: Turn, tools: frozenset[str] = frozenset({"Bash", "Agent"})) -> ToolCall | None:
    prompt = Prompt(
        model="m",
        streaming=False,
        material=b"",
        input_usage=Usage(input_uncached=1),
        turns=turns,
        tools=tools,
    )
    return reply_to(prompt, 0).tool_call


def test_several_calls_are_made_one_per_turn_in_the_order_asked() -> None:
    asked = Turn('call Bash {"command": "one"} and then call Bash {"command": "two"}')
    assert call_after(asked) == ToolCall("Bash", '{"command": "one"}')
    assert call_after(asked, Turn(tool_calls=1), Turn()) == ToolCall("Bash", '{"command": "two"}')
    assert call_after(asked, Turn(tool_calls=1), Turn(), Turn(tool_calls=1), Turn()) is None


def test_a_call_inside_the_arguments_of_another_is_left_to_the_sub_agent() -> None:
    asked = Turn('call Agent {"prompt": "call Bash {\\"command\\": \\"inner\\"}"}')
    assert call_after(asked).name == "Agent"
    assert call_after(asked, Turn(tool_calls=1), Turn()) is None


def test_a_later_request_starts_the_count_again() -> None:
    asked = Turn('call Bash {"command": "again"}')
    assert call_after(asked, Turn(tool_calls=1), Turn(), Turn(), asked) == ToolCall(
        "Bash", '{"command": "again"}'
    )


def test_only_offered_tools_with_sound_arguments_are_called() -> None:
    assert call_after(Turn('call Python {"code": "1"}')) is None
    assert call_after(Turn('call Bash {"command": oops')) is None
    assert call_after(Turn("call Bash please")) is None
