"""Removes the thoughts that some models write into their answer before it, between tags."""

_OPEN = ("<think>", "<thinking>")
_CLOSE = ("</think>", "</thinking>")


class ThoughtFilter:
    """Passes on streamed text without a block of thoughts at its beginning."""

    def __init__(self) -> None:
        self._held = ""
        self._is_thinking = False
        self._is_done = False
        self._is_at_start = False  # of the answer, after the thoughts

    def push(self, text: str) -> str:
        """Add text and return what is certainly part of the answer."""
        if self._is_at_start:
            text = text.lstrip()
            self._is_at_start = not text
        if self._is_done:
            return text
        self._held += text
        if not self._is_thinking:
            begun = self._held.lstrip()
            if any(tag.startswith(begun[: len(tag)]) and len(begun) < len(tag) for tag in _OPEN):
                return ""
            if not begun.startswith(_OPEN):
                self._is_done = True
                return self._held
            self._is_thinking = True
        ends = [place + len(tag) for tag in _CLOSE if (place := self._held.find(tag)) >= 0]
        if not ends:
            # A tag may be cut; nothing before it is needed.
            self._held = self._held[-(max(map(len, _CLOSE)) - 1) :]
            return ""
        self._is_done = True
        answer = self._held[min(ends) :].lstrip()
        self._is_at_start = not answer
        return answer

    def flush(self) -> str:
        """Return the rest, as the text is complete; thoughts without an end are no answer."""
        return "" if self._is_done or self._is_thinking else self._held
