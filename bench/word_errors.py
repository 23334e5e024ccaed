"""Word errors: the substitutions, insertions and deletions between what was said and what was heard."""

import re

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SPELLINGS = {**{str(value): name for value, name in enumerate(_NUMBERS)}, "mr": "mister", "colour": "color"}


def words_of(text: str) -> list[str]:
    """Return the words in lower case, without punctuation, and with small numbers and "Mr." spelt out."""
    words = re.findall(r"[a-z0-9']+", text.lower().replace("’", "'"))
    return [_SPELLINGS.get(word, word) for word in words]


def word_errors(said: str, heard: str) -> int:
    """Return the least number of words to change, add or remove (Levenshtein's distance)."""
    reference, hypothesis = words_of(said), words_of(heard)
    row = list(range(len(hypothesis) + 1))
    for count, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], count
        for place, other in enumerate(hypothesis, 1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1]
