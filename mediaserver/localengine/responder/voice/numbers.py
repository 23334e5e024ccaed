"""English number words."""

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth"},
    **{"eight": "eighth", "nine": "ninth", "twelve": "twelfth"},
}

LARGEST = 10 ** (3 * len(_SCALES))
"""The first number too large for a name: its digits are read one by one."""


def cardinal(number: int) -> str:
    """Return a number from 0 to below `LARGEST` in words: "one thousand two hundred"."""
    if number < 1_000:
        return _below_thousand(number)
    groups = []
    for scale in _SCALES:
        number, group = divmod(number, 1_000)
        if group:
            groups.append(f"{_below_thousand(group)} {scale}".strip())
    return " ".join(reversed(groups))


def ordinal(number: int) -> str:
    """Return an ordinal in words: "twenty third"."""
    rest, _, last = cardinal(number).rpartition(" ")
    regular = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return f"{rest} {_ORDINALS.get(last, regular)}".strip()


def year(number: int) -> str:
    """Return a year from 1000 to 9999 in words: "nineteen oh five", "two thousand six", "twenty twenty four"."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(number)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def pairs(text: str) -> str:
    """Return four digits as two numbers, as in "ten eighty"; other numbers as `decimal` does."""
    return year(int(text)) if len(text) == 4 and text[2:] != "00" and text[0] != "0" else decimal(text)


def digits(text: str) -> str:
    """Return the digits of a text one by one: "one oh two"; other signs are dropped."""
    return " ".join("oh" if sign == "0" else _ONES[int(sign)] for sign in text if sign in "0123456789")


def decimal(text: str) -> str:
    """Return digits such as "1,234.50" in words; a number without a name is read digit by digit."""
    whole, _, fraction = text.replace(",", "").partition(".")
    if (len(whole) > 1 and whole.startswith("0")) or int(whole or "0") >= LARGEST:
        words = digits(whole)
    else:
        words = cardinal(int(whole or "0"))
    return f"{words} point {' '.join(_ONES[int(digit)] for digit in fraction)}" if fraction else words


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if rest >= len(_ONES):
        words.append(f"{_TENS[rest // 10]} {_ONES[rest % 10] if rest % 10 else ''}".strip())
    elif rest or not hundreds:
        words.append(_ONES[rest])
    return " ".join(words)
