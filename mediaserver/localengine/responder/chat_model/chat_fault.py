"""Failures of the chat endpoint, each with a sentence for the user."""

from mediaserver.localengine.responder.chat_model.config import REPORT_FAULT
from mediaserver.localengine.responder.interface import Call
from pipeline.errors import FaultCode

_SENTENCES = {
    FaultCode.LLM_UNREACHABLE: "I cannot reach my language model.",
    FaultCode.LLM_TIMEOUT: "My language model takes too long to answer.",
    FaultCode.LLM_PROTOCOL: "My language model sent something that I do not understand.",
    FaultCode.LLM_RATE_LIMITED: "My language model has had too many questions and asks me to wait.",
    FaultCode.LLM_CUT_OFF: "My language model broke off in the middle of its answer. Please ask again.",
    FaultCode.LLM_TOOLS_REFUSED: "My language model cannot call functions, so I answer without pointing at anything.",
    FaultCode.LLM_IMAGES_REFUSED: "My language model takes no pictures, so I give it the words on the screen.",
    FaultCode.LLM_AUTH_INVALID: "My language model did not accept the key.",
    FaultCode.LLM_MODEL_UNAVAILABLE: "My language model is not installed where I look for it.",
    FaultCode.LLM_REFUSED: "My language model did not accept the question.",
    FaultCode.LLM_INTERNAL: "My language model had a problem.",
}


class ChatFault(Exception):
    """A failure of the chat endpoint; `message` is a plain English sentence for the user.

    `is_answer_begun`: part of the answer was said. `is_known`: the same failure was reported before, and the endpoint
    has not been asked again since. `retry_after`: seconds that the endpoint asked to wait.
    """

    def __init__(self, code: FaultCode, *, is_known: bool = False, retry_after: float = 0.0):
        super().__init__(code.value)
        self.code = code
        self.is_known = is_known
        self.is_answer_begun = False
        self.retry_after = retry_after

    @property
    def message(self) -> str:
        """The sentence for the user."""
        return _SENTENCES[self.code]

    def report(self) -> Call:
        """Return the call that reports it to the client."""
        return Call(REPORT_FAULT, {"code": self.code.value, "message": self.message})
