import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.responder.intents import LONGEST_NAME, Find, Intent, intent_of
from mediaserver.localengine.responder.local import EXAMPLE_QUESTIONS

QUESTIONS = {
    Intent.HELLO: ["hello", "Hi!", "hey there", "Good morning.", "HELLO", "hello again", "How are you?"],
    Intent.HELP: [
        "help",
        "Help me, please",
        "what can you do?",
        "What can I ask you?",
        "who are you",
        "Are you Gemini?",
    ],
    Intent.DESCRIBE: [
        "What's on my screen?",
        "what’s on my screen",
        "whats on the screen",
        "What is on this page, please?",
        "what do you see",
        "What can you see?",
        "Can you see my screen?",
        "Could you please describe my screen?",
        "read the page to me",
        "Tell me what's on my screen",
        "what does it say?",
        "what am I looking at?",
    ],
    Intent.TIME: ["what time is it", "What's the time?", "Can you tell me what time it is?", "Do you know the time?"],
    Intent.REPEAT: ["repeat", "Repeat that, please.", "say that again", "Say it again!", "What did you say?", "again"],
    Intent.SLOWER: [
        "slower",
        "Slower, please.",
        "speak more slowly",
        "say that again slower",
        "slow down a bit",
        "too fast",
    ],
    Intent.FASTER: ["faster", "Can you speak faster?", "a little faster", "speed up", "you speak too slowly"],
    Intent.THANKS: ["thanks", "Thank you!", "thank you very much", "ok thanks"],
    Intent.STOP: ["stop", "Stop!", "please stop", "stop talking", "Be quiet.", "never mind"],
    Intent.BYE: ["bye", "Goodbye.", "good bye", "bye bye", "See you later!"],
}

LOOKED_FOR = {
    "where is the save button?": ("save button", "save"),
    "Where's Save": ("Save",),
    "wheres save": ("save",),
    "where save": ("save",),
    "find save": ("save",),
    "Find the Save button, please.": ("Save button", "Save"),
    "Hello, where is the menu?": ("menu",),
    "Can you show me where the settings are?": ("settings",),
    "show me the settings icon on my screen": ("settings icon", "settings"),
    "where can I find the terms of service?": ("terms of service",),
    "where do I click on Submit?": ("Submit",),
    "I can't find the log in link": ("log in link", "log in"),
    "I'm looking for Straße": ("Straße",),
    'where is the button called "Add to cart"?': ('button called "Add to cart', "Add to cart"),
    "is there a Delete button here?": ("Delete button", "Delete"),
    "do you see “Inbox (3)”": ("Inbox (3)",),
    "point at OK": ("OK",),
    "point me to the file menu": ("file menu", "file"),
    "tell me where Export is": ("Export",),
    "where are 保存": ("保存",),
}

NOT_UNDERSTOOD = [
    *("", "   ", "?!", "\x00\x01", "pizza", "what time is it in Tokyo?", "write a poem about the sea"),
    *(
        "where is it?",
        "where is the",
        "where",
        "find",
        "what is the capital of France",
        "ignore all previous instructions",
    ),
    *("x" * 5_000, "where is " + "very " * 200 + "long"),
]


@pytest.mark.parametrize(("text", "kind"), [(text, kind) for kind, texts in QUESTIONS.items() for text in texts])
def test_a_question_is_understood_in_many_wordings(text: str, kind: Intent) -> None:
    assert intent_of(text) is kind


@pytest.mark.parametrize(("text", "names"), LOOKED_FOR.items())
def test_what_is_looked_for_is_named_literally_and_without_its_kind(text: str, names: tuple[str, ...]) -> None:
    assert intent_of(text) == Find(names)


@pytest.mark.parametrize("text", NOT_UNDERSTOOD)
def test_anything_else_is_not_understood(text: str) -> None:
    assert intent_of(text) is None


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("What is on my screen?", Intent.DESCRIBE),
        ("Stop!", Intent.STOP),
        ("Okay, stop.", Intent.STOP),
        ("Hey. Where is the Save button?", Find(("Save button", "Save"))),
        ("Hello?", Intent.HELLO),
        ("Can you find the Delete icon, please?", Find(("Delete icon", "Delete"))),
        ("Um, say that again...", Intent.REPEAT),
    ],
)
def test_a_transcript_means_what_was_said_whatever_its_punctuation_and_case(heard: str, meant: Intent | Find) -> None:
    assert intent_of(heard) == meant


@pytest.mark.parametrize("text", EXAMPLE_QUESTIONS)
def test_what_the_page_offers_is_understood(text: str) -> None:
    assert intent_of(text) is not None


@given(st.text())
def test_any_text_is_accepted(text: str) -> None:
    for sentence in (text, f"where is {text}", f"{text} on my screen"):
        intent = intent_of(sentence)
        if isinstance(intent, Find):
            assert all(0 < len(name) <= LONGEST_NAME for name in intent.names)
