"""Answers about guides: by functions of the server, which keeps the plan and says what to speak."""

import asyncio
import re
from collections.abc import AsyncGenerator

from mediaserver.localengine.responder.interface import Call, CallResult
from pipeline.events import GuideAction
from pipeline.guidance.notes import text_to_say

MAX_SENTENCE = 200
"""Characters of a sentence that can move or start a guide."""


async def guided_answer(text: str, *, is_for_model: bool = False) -> AsyncGenerator[Call | str, None]:
    """Yield the pieces of the answer to a note of the server, or, unless they are for a model, to words about a guide.

    Yields no sentence for anything else, and where no guide fits: the other answers come next.
    """
    if (noted := text_to_say(text)) is not None:
        yield noted
        return
    call = None if is_for_model else call_of(text)
    if call is None or call.result is None:
        return
    yield call
    response = (await call.result).response
    sentence = response.get("say")
    if sentence is None and asks_for_list(text):
        sentence = response.get("list")
    if isinstance(sentence, str):
        yield sentence


def call_of(text: str) -> Call | None:
    """Return the call that a sentence of the user asks for, or None."""
    sentence = _plain(text)
    action = action_of(text)
    if action is not None:
        return _call("guide_command", command=action.value)
    match = _GUIDE.fullmatch(sentence)
    if match is None and not asks_for_list(text):
        return None
    return _call("start_guide", request=(match["task"] if match else "") or "guide")


def action_of(text: str) -> GuideAction | None:
    """Return the way in which a sentence moves the plan, or None."""
    sentence = _plain(text)
    return next((action for action, pattern in _ACTIONS.items() if pattern.fullmatch(sentence)), None)


def asks_for_list(text: str) -> bool:
    """Whether a sentence asks for the guides, or for one without its name."""
    return _LIST.fullmatch(_plain(text)) is not None


def _call(name: str, **args: object) -> Call:
    result: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
    return Call(name, args, result)


def _plain(text: str) -> str:
    if len(text) > MAX_SENTENCE:
        return ""
    text = " ".join(re.sub(r"[.!?,;:…]+(?=\s|$)", " ", text.replace("’", "'").casefold()).split())
    return _TRAILING.sub("", _LEADING.sub("", text)) or text


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives))


_STEP = r"(?:the|this|that|current|last) step"
_I_HAVE = r"(?:i|i've|i have)"
_ACTIONS = {
    GuideAction.NEXT: _pattern(r"(?:the )?next(?: step| one)?", r"go (?:to the )?next(?: step)?"),
    GuideAction.DONE: _pattern(
        r"(?:all )?done(?: that| it)?|finished|ready|i'm (?:done|ready|finished)|i am (?:done|ready|finished)",
        rf"{_I_HAVE} (?:did|done|finished) (?:that|it|this)(?: step)?|{_I_HAVE} (?:done|finished)",
        r"(?:that's|it's|that is|it is|this is) done|go on|continue|carry on|keep going",
    ),
    GuideAction.BACK: _pattern(
        r"(?:go )?back(?: one)?(?: step)?|(?:go back (?:to )?)?(?:the )?(?:previous|last) (?:step|one)|one step back"
    ),
    GuideAction.SKIP: _pattern(rf"skip(?: it| this| that| {_STEP}| step)?|leave (?:it|this|that) out"),
    GuideAction.REPEAT: _pattern(rf"(?:repeat|read|say) {_STEP}(?: again)?|(?:what is|what's|what was) {_STEP}"),
    GuideAction.WHERE: _pattern(
        r"where (?:am i|are we|was i|were we)(?: now)?|(?:which|what) step (?:am i (?:on|at)|are we (?:on|at)|is this)",
        r"what now|now what|(?:what|what's|what is|what comes) next|what (?:do|should|must|shall) i do(?: now| next)?",
    ),
    GuideAction.RESTART: _pattern(
        r"start (?:it |this )?(?:over|again|anew)|(?:again )?from the (?:start|beginning|top)|restart(?: the guide)?",
        r"begin again",
    ),
    GuideAction.HINT: _pattern(
        r"(?:i'm|i am) stuck(?: here)?|(?:give me )?(?:a|another|the)? ?hint|help me with (?:this|that|it|this step)",
        r"(?:it|that|this) (?:does not|doesn't|did not|didn't) work|i (?:can't|cannot|can not) do (?:it|that|this)",
    ),
    GuideAction.CLOSE: _pattern(r"(?:stop|close|end|cancel|quit|leave|exit) (?:the|this|my) guide"),
    GuideAction.REMARKS_OFF: _pattern(
        r"(?:only|just) (?:speak|talk) when i ask(?: you)?|no (?:more )?remarks",
        r"(?:don't|do not) (?:interrupt me|speak up)",
    ),
    GuideAction.REMARKS_ON: _pattern(r"(?:you may |please )?speak up(?: again)?|you may (?:speak|talk)(?: again)?"),
}

_GUIDE = _pattern(
    r"(?:(?:can|could|will|would) you )?(?:help me(?: to| with)?|(?:walk|guide|take|talk|lead) me through|"
    r"(?:show|teach|tell) me how (?:to|i can)|how (?:do|can|could|should|would) i|i (?:want|need) to|i'd like to|"
    r"i would like to|(?:start|open|follow|begin) (?:the )?guide(?: (?:to|for|about|called))?|guide(?: number)?) "
    r"(?P<task>.+)"
)
_LIST = _pattern(
    r"(?:start|open|follow|begin|show me|use) (?:a|the|your|my) guides?|guides?",
    r"(?:what|which) guides (?:are there|do you have|can i follow|have you got)",
    r"(?:list|show)(?: me)?(?: the| your| my)? guides",
)
_LEADING = re.compile(r"^(?:(?:ok|okay|so|and|please|yes|yeah|well|alright|all right|now|then|hey|um+|uh+) )+(?=.)")
_TRAILING = re.compile(r"(?: (?:please|thanks|thank you|for me))+$")
