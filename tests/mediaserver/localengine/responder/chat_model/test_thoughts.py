import pytest

from mediaserver.localengine.responder.chat_model.thoughts import ThoughtFilter


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Hello.", "Hello."),
        ("<think>a. b</think>\n\nHello.", "Hello."),
        ("\n<thinking>a</thinking>Hello.", "Hello."),
        ("<b>Hello</b>", "<b>Hello</b>"),
        ("<th", "<th"),
        ("<think>never done", ""),
        ("Hello <think>x</think>", "Hello <think>x</think>"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 100])
def test_only_thoughts_at_the_beginning_are_removed(text: str, answer: str, size: int) -> None:
    thoughts = ThoughtFilter()
    passed = [thoughts.push(text[start : start + size]) for start in range(0, len(text), size)]
    assert "".join([*passed, thoughts.flush()]) == answer
