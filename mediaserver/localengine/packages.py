"""The packages of the extra `local`: imported by the local engine alone, and missing where only Gemini is used."""

from importlib.util import find_spec

MODULES = ("cv2", "openai", "rapidocr", "yaml")
"""Those of speech recognition and of the voice are not among them: without them the engine reads and writes text."""


class PackagesMissingError(Exception):
    """The local engine is asked for without its packages; the message names the command that brings them."""


def check_packages() -> None:
    """Raise `PackagesMissingError` unless everything that the local engine imports is installed."""
    missing = [name for name in MODULES if find_spec(name) is None]
    if missing:
        raise PackagesMissingError(
            f"The local engine needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'mediaserver[local]'"
        )
