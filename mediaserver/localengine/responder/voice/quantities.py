"""Reads numbers, dates, times, money and units as English words. Each reader returns None where it is none of these."""

import re

from mediaserver.localengine.responder.voice.numbers import LARGEST, cardinal, decimal, digits, ordinal, pairs, year
from mediaserver.localengine.responder.voice.vocabulary import CURRENCIES, FRACTIONS, MAGNITUDES, MONTHS, UNITS

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
_MONTH_OF = {month[:3].lower(): number for number, month in enumerate(MONTHS, 1)}
_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|{'|'.join(month[:3] for month in MONTHS)}|Sept)"
_UNITS = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_DAY = r"(?P<day>[0-3]?[0-9])(?:st|nd|rd|th)?"

ISO_DATE = r"(?P<year>[0-9]{4})-(?P<month_number>[0-9]{2})-(?P<day>[0-9]{2})(?:T(?P<time>[0-9:]+)(?:\.[0-9]+)?Z?)?"
SLASHED_DATE = r"(?P<first>[0-9]{1,2})/(?P<second>[0-9]{1,2})/(?P<year>[0-9]{4})"
MONTH_DAY = rf"{_MONTH}\.? {_DAY}(?:,? (?P<year>[12][0-9]{{3}}))?"
DAY_MONTH = rf"{_DAY} {_MONTH}\.?(?: (?P<year>[12][0-9]{{3}}))?"
TIME = (
    r"(?P<hour>[0-2]?[0-9]):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\b\.?)?"
)
HOUR = r"(?P<hour>1?[0-9]) ?(?P<half>[AaPp])\.?[Mm]\b\.?"
MONEY = (
    rf"(?P<minus>[-−])?(?P<sign>[{''.join(CURRENCIES)}])(?P<amount>{_NUMBER})"
    rf"(?: ?(?P<magnitude>{'|'.join(sorted(MAGNITUDES, key=len, reverse=True))})\b)?"
)
AMOUNT = rf"(?P<minus>[-−])?(?P<amount>{_NUMBER}) ?(?P<unit>{_UNITS})(?![A-Za-z0-9])"
SIZE = r"(?P<width>[0-9]+) ?[x×] ?(?P<height>[0-9]+)"
FRACTION = r"(?P<part>[0-9]{1,4})/(?P<whole>[0-9]{1,4})|(?P<sign>[½⅓⅔¼¾])"
RANGE = rf"(?P<low>{_NUMBER})[-–](?P<high>{_NUMBER})(?: ?(?P<unit>{_UNITS})(?![A-Za-z0-9]))?"
PHONE = r"\+[0-9]{1,3}(?:[ -][0-9]{2,4}){2,4}|(?:[0-9]{3}-)?[0-9]{3}-[0-9]{4}"
ORDINAL = r"(?P<ordinal>[0-9]{1,3}(?:,?[0-9]{3})*)(?:st|nd|rd|th)"
PLAIN = rf"(?P<before>[-−+#]|~ ?)?(?P<number>{_NUMBER})"
VERSION = r"(?P<v>v|V|version )?(?P<numbers>[0-9]+(?:\.[0-9]+)+)(?P<suffix>(?:a|b|rc)[0-9]+)?|[vV](?P<major>[0-9]+)"
DECADE = r"(?P<decade>[12][0-9]{2}0)s"


def iso_date(match: re.Match[str]) -> str | None:
    """Read 2024-03-05, with a time if there is one."""
    date = _date(int(match["month_number"]), int(match["day"]), match["year"])
    clock = re.fullmatch(TIME, match["time"]) if match["time"] else None
    return f"{date}, {time(clock)}" if date and clock else date


def slashed_date(match: re.Match[str]) -> str | None:
    """Read 3/5/2024: the month comes first, as in the United States, unless that is none."""
    first, second = int(match["first"]), int(match["second"])
    return _date(first, second, match["year"]) or _date(second, first, match["year"])


def named_date(match: re.Match[str]) -> str | None:
    """Read "March 5, 2024" and "5 March"."""
    return _date(_MONTH_OF[match["month"][:3].lower()], int(match["day"]), match["year"])


def time(match: re.Match[str]) -> str | None:
    """Read a time of day such as 12:45, 9:05 AM or 14:30:10."""
    hour, minute = int(match["hour"]), int(match["minute"])
    if hour > 24:
        return None
    words = [cardinal(hour)]
    if minute or match["second"]:
        words.append(f"oh {cardinal(minute)}" if minute < 10 else cardinal(minute))
    elif not match["half"]:
        words.append("o'clock" if 0 < hour <= 12 else "hundred")
    if match["second"]:
        words.append(f"and {counted(match['second'].lstrip('0') or '0', 's')}")
    return " ".join([*words, *_half(match)])


def hour(match: re.Match[str]) -> str | None:
    """Read "9 PM"."""
    return " ".join([cardinal(int(match["hour"])), *_half(match)]) if int(match["hour"]) <= 12 else None


def money(match: re.Match[str]) -> str | None:
    """Read $1,234.50 and $3.2 billion."""
    one, many, hundredth, hundredths = CURRENCIES[match["sign"]]
    whole, _, cents = match["amount"].replace(",", "").partition(".")
    minus = "minus " if match["minus"] else ""
    if match["magnitude"]:
        return f"{minus}{decimal(match['amount'])} {MAGNITUDES[match['magnitude']]} {many}"
    if len(cents) not in (0, 2):
        return f"{minus}{decimal(match['amount'])} {many}"
    parts = [f"{decimal(whole)} {one if int(whole) == 1 else many}"] if int(whole) or not int(cents or "0") else []
    if int(cents or "0"):
        parts.append(f"{cardinal(int(cents))} {hundredth if int(cents) == 1 else hundredths}")
    return minus + " and ".join(parts)


def amount(match: re.Match[str]) -> str | None:
    """Read a number with its unit: "16 GB", "3.5%"."""
    return ("minus " if match["minus"] else "") + counted(match["amount"], match["unit"])


def size(match: re.Match[str]) -> str | None:
    """Read 1920x1080."""
    return f"{pairs(match['width'])} by {pairs(match['height'])}"


def fraction(match: re.Match[str]) -> str | None:
    """Read 1/2, and 3/5 as a part of a count."""
    written = match.group()
    if match["sign"] or written in FRACTIONS:
        return FRACTIONS[written]
    return f"{decimal(match['part'])} of {decimal(match['whole'])}"


def number_range(match: re.Match[str]) -> str | None:
    """Read 2-3."""
    low = plain_number(match["low"])
    high = counted(match["high"], match["unit"]) if match["unit"] else plain_number(match["high"])
    return f"{low} to {high}"


def phone(match: re.Match[str]) -> str | None:
    """Read a telephone number digit by digit, with a pause between its groups."""
    groups = re.split(r"[ -]", match.group())
    return ("plus " if groups[0].startswith("+") else "") + ", ".join(digits(group) for group in groups)


def ordinal_number(match: re.Match[str]) -> str | None:
    """Read 23rd."""
    number = int(match["ordinal"].replace(",", ""))
    return ordinal(number) if number < LARGEST else None


def decade(match: re.Match[str]) -> str | None:
    """Read 1990s."""
    words = year(int(match["decade"]))
    return f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"


def number(match: re.Match[str]) -> str | None:
    """Read a number with a sign or none: 42, -5, #12, ~300."""
    before = {"-": "minus ", "−": "minus ", "+": "plus ", "#": "number ", "~": "about ", None: ""}
    sign = match["before"]
    return before[sign.strip() if sign else None] + plain_number(match["number"])


def version(match: re.Match[str]) -> str | None:
    """Read v1.2.3, and addresses such as 127.0.0.1."""
    if match["major"]:
        return f"version {decimal(match['major'])}"
    numbers = match["numbers"].split(".")
    if not match["v"] and not match["suffix"] and len(numbers) == 2:
        return None  # a decimal
    separator = " dot " if len(numbers) == 4 and not match["v"] else " point "
    words = separator.join(decimal(part) for part in numbers)
    suffix = re.sub(r"([a-z]+)([0-9]+)", lambda found: f" {found[1].upper()} {found[2]}", match["suffix"] or "")
    return f"{'version ' if match['v'] else ''}{words}{suffix}"


def plain_number(text: str) -> str:
    """Read digits such as "1,234.5": as a year from 1100 to 2099, and digit by digit where it is no quantity."""
    if re.fullmatch(r"[0-9]{4}", text) and 1_100 <= int(text) < 2_100 and text[2:] != "00":
        return year(int(text))
    if text.isdigit() and len(text) > 6:
        return digits(text)
    return decimal(text)


def counted(text: str, unit: str) -> str:
    """Read a number and its unit, which is in the singular after one."""
    one, many = UNITS[unit]
    return f"{decimal(text)} {one if text == '1' else many}"


def _date(month: int, day: int, year_digits: str | None) -> str | None:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    named_year = f", {year(int(year_digits))}" if year_digits and int(year_digits) >= 1_000 else ""
    return f"{MONTHS[month - 1]} {ordinal(day)}{named_year}"


def _half(match: re.Match[str]) -> tuple[str, ...]:
    return (f"{match['half'].upper()}.M.",) if match["half"] else ()
