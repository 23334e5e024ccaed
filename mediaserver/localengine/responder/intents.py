"""Intents of questions: free wording when typed, the grammar's sentences when spoken."""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum


class Intent(Enum):
    """Intents without parameters."""

    HELLO = "hello"
    HELP = "help"
    DESCRIBE = "describe"
    TIME = "time"
    REPEAT = "repeat"
    SLOWER = "slower"
    FASTER = "faster"
    THANKS = "thanks"
    STOP = "stop"
    BYE = "goodbye"


@dataclass(frozen=True, slots=True)
class Find:
    """Asks where something is; `names` are its names, the most literal first: ("save button", "save")."""

    names: tuple[str, ...]


LONGEST_NAME = 80
"""Characters of a name used in the search."""

_LONGEST_SENTENCE = 300


def intent_of(text: str) -> Intent | Find | None:
    """Return the intent of a typed or recognised sentence, None if there is none. Accepts any text."""
    if len(text) > _LONGEST_SENTENCE:
        return None
    sentence = _plain(text)
    bare = _strip_politeness(sentence)
    for form in (sentence, bare):
        for intent, pattern in _INTENTS.items():
            if pattern.fullmatch(form):
                return intent
    found = _FIND.fullmatch(bare)
    names = _names(found["lost"] or found["placed"] or found["hidden"]) if found else ()
    return Find(names) if names else None


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    text = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    return " ".join(text.split()).strip(" .!?,;:…")


def _strip_politeness(sentence: str) -> str:
    bare = _TRAILING.sub("", _LEADING.sub("", sentence)).strip(" .!?,;:")
    return bare or sentence


def _names(name: str) -> tuple[str, ...]:
    name = _PLACE.sub("", name).strip(" .!?,;:")
    name = _ARTICLE.sub("", name).strip(" \"'")[:LONGEST_NAME].strip()
    names = [name, _KIND_AFTER.sub("", name), _KIND_BEFORE.sub("", name).strip(" \"'")]
    return tuple(dict.fromkeys(each for each in names if re.search(r"\w", each) and not _PRONOUN.fullmatch(each)))


_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"'})


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_SCREEN = r"(?:(?:my|the|this|that|your) )?(?:shared )?(?:screen|page|window|display|monitor|desktop|app|website|site)"

_SOME = r"(?:a (?:little|bit)(?: bit)?|some(?:what)?|much|please)"
_SPEAK = rf"(?:(?:speak|talk|go|read|say (?:it|that|this)|repeat(?: (?:it|that|this))?)(?: again)? )?(?:{_SOME} )?"

_INTENTS = {
    Intent.HELLO: _pattern(
        r"(?:hello|hi|hey|howdy|greetings|good (?:morning|afternoon|evening|day))(?: (?:there|again|assistant|you))?",
        r"how are you(?: doing)?(?: today)?",
    ),
    Intent.HELP: _pattern(
        r"help(?: me)?|commands?|usage|how can you help(?: me)?",
        r"what (?:can|could|should|may) (?:you do|i (?:ask|say|do|type))(?: you)?(?: for me| here)?",
        r"what (?:do|can) you (?:understand|know)|how (?:do|does) (?:this|it|you) work",
        r"(?:who|what) are you|what(?:'s| is) your name|are you (?:gemini|an? (?:ai|bot|robot|human))",
        r"(?:show|tell) me what (?:you can do|i can (?:ask|say|do)(?: you)?)",
    ),
    Intent.DESCRIBE: _pattern(
        rf"what(?:'s|s| is| are)?(?: there| shown| visible| displayed| written| (?:do|can) you see)? on {_SCREEN}",
        rf"what (?:do|can) you (?:see|read)(?: (?:now|here|there|on {_SCREEN}))?",
        rf"(?:read|describe|summari[sz]e|look at|check|explain)(?: (?:me|to me|out))? {_SCREEN}(?: to me| out| aloud)?",
        rf"(?:tell me|read)(?: to me)? (?:about|what(?:'s| is)(?: shown| written)? on|what you see on) {_SCREEN}",
        rf"(?:tell|show) me what you see|(?:can|do) you (?:see|read) (?:{_SCREEN}|anything)",
        r"what (?:am i|are we|are you) (?:looking at|seeing)|what(?:'s| is) (?:this|that|here|visible|shown)",
        rf"what does (?:it|this|that|{_SCREEN}) say",
        r"read(?: (?:it|this|that|everything|all))?(?: aloud| out)?(?: to me)?",
    ),
    Intent.TIME: _pattern(
        r"what time (?:is it|it is|do (?:we|you) have)(?: now)?|what(?:'s|s| is) the (?:current )?time(?: now)?",
        r"(?:do you (?:know|have)|give me) (?:what time it is|the time)|(?:the |current )?time",
    ),
    Intent.REPEAT: _pattern(
        r"(?:please )?repeat(?: (?:that|it|this|yourself))?|(?:once|say (?:that|it|this)|one more time) again",
        r"(?:say that |say it )?(?:again|one more time|once more)|what did you (?:just )?say|what was that",
        r"pardon(?: me)?|come again|i (?:didn't|did not) (?:hear|catch|get) (?:that|you|it)",
    ),
    Intent.SLOWER: _pattern(
        rf"{_SPEAK}(?:slower|more slowly|slowly|less fast)(?: again)?|slow(?:er)? down(?: {_SOME})?",
        r"(?:(?:you(?:'re| are)?(?: (?:speak|talk)(?:ing)?)?|that(?:'s| is| was)) )?(?:too|not so) fast",
    ),
    Intent.FASTER: _pattern(
        rf"{_SPEAK}(?:faster|more quickly|quicker|less slowly)|speed up(?: {_SOME})?",
        r"(?:(?:you(?:'re| are)?(?: (?:speak|talk)(?:ing)?)?|that(?:'s| is| was)) )?too slow(?:ly)?",
    ),
    Intent.THANKS: _pattern(r"(?:many )?(?:thanks|thank you|thx|ty|cheers)(?: (?:you|a lot|very much|so much|again))?"),
    Intent.STOP: _pattern(
        r"(?:please )?(?:stop|quiet|silence|hush|enough|shut up|be quiet|never ?mind)",
        r"(?:please )?stop (?:it|that|now|talking|speaking)",
    ),
    Intent.BYE: _pattern(
        r"(?:good ?)?bye(?: ?bye)?(?: now| for now)?|good ?night|farewell",
        r"see (?:you|ya)(?: later| soon)?|that(?:'s| is) all",
    ),
}

_FIND = _pattern(
    r"where(?:'s|'re|s| is| are)?(?: (?:do|can|could|should|would|must) (?:i|we|you)"
    r" (?:find|see|click(?: on)?|press|tap|go to|get to|look for))? (?P<lost>.+)",
    r"(?:show|tell|find|point)(?: me)?(?: out)? where (?:(?:is|are) )?(?P<placed>.+)",
    r"(?:(?:show me|find me|point (?:me )?(?:at|to|out)|look for|search for|find|locate|spot|highlight|show|point)"
    r"|(?:can|do) you (?:see|find)|(?:is|are) there|i(?:'m| am) (?:looking|searching) for"
    r"|i (?:can't|cannot|can not|don't|do not|couldn't) (?:find|see)) (?P<hidden>.+)",
)

_LEADING = _pattern(
    r"^(?:(?:hey there|excuse me|hey|hi|hello|ok|okay|please|well|so|um+|uh+|er|now|and|then|sorry)\b[,.!]* "
    r"|(?:can|could|would|will) you (?:please |just |kindly )?(?=(?:tell|show|find|locate|point|read|describe|repeat"
    r"|say|speak|talk|slow|speed|go|help|highlight|look|search|spot|summari[sz]e|stop|explain|check)\b)"
    r"|(?:tell me,?|let me know|do you know|i (?:want|need) to know|i wonder|i would like to know) (?=wh|the time))+"
)
_TRAILING = re.compile(r"(?:[,.!]? (?:please|thanks|thank you|for me|now|right now|assistant))+$", re.IGNORECASE)
_PLACE = re.compile(
    rf"(?: (?:on|in|at|of|from) {_SCREEN}| (?:right )?(?:here|now)| located| is| are| please| for me)+$", re.IGNORECASE
)
_ARTICLE = re.compile(r"^(?:(?:the|a|an|my|any|some|this|that|your)\b ?)+(?=.)", re.IGNORECASE)
_KIND = (
    r"(?:button|link|icon|field|box|tab|menu|menu item|option|label|text|word|words|checkbox|text ?box|entry|item)s?"
)
_KIND_AFTER = re.compile(rf"[\"']? {_KIND}$", re.IGNORECASE)
_KIND_BEFORE = re.compile(
    rf"^{_KIND}(?: (?:called|named|labell?ed|that says|which says|saying|with|for))? (?=.)", re.IGNORECASE
)
_PRONOUN = re.compile(r"(?:it|this|that|they|them|those|these|he|she|you|i|me|the|an?|is|are)", re.IGNORECASE)
