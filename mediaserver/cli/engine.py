"""`run.py engine`: the local engine alone, for others to develop against what speaks Gemini Live's protocol."""

import argparse
import asyncio
import ipaddress
import math
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from mediaserver import logs
from mediaserver.localengine.responder.interface import Responder
from mediaserver.localengine.responder.local import LocalResponder
from mediaserver.localengine.responder.scripted import ScriptedResponder, ScriptError, load_script
from mediaserver.localengine.responder.tone import tone_responder
from mediaserver.localengine.server import LocalEngine
from mediaserver.localengine.session.connection_lifetime import TEN_MINUTES, Lifetime
from pipeline.errors import MediaError
from pipeline.screen.ocr import Ocr

LONGEST_TONE = 600.0
"""Seconds of one answer."""

_GREETING = """Local engine: {url}
Certificate: {certificate}
API key: {key}

import ssl
from google import genai
tls = ssl.create_default_context(cafile="{certificate}")
options = {{"base_url": "{url}", "api_version": "v1beta", "async_client_args": {{"ssl": tls, "proxy": None}}}}
client = genai.Client(api_key="{key}", http_options=options)  # client.aio.live.connect(model="local", ...)

Ctrl-C stops it.
"""


def main(words: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM; 0 then, 2 when it cannot be done as `words` say, 1 when it cannot listen."""
    try:
        asked = parser().parse_args(words)
        if asked.api_key is None and not ipaddress.ip_address(asked.host).is_loopback:
            parser().error(f"others can reach {asked.host}: give an --api-key")
    except SystemExit as stop:
        return int(stop.code or 0)
    logs.configure(level="WARNING", folder=None)
    try:
        return asyncio.run(_serve(asked))
    except MediaError as error:
        sys.stderr.write(f"The local engine cannot work: {error}\n")
        return 2


def parser() -> argparse.ArgumentParser:
    """The words after `engine`."""
    words = argparse.ArgumentParser("run.py engine", description="The local engine alone, until Ctrl-C.")
    words.add_argument("--host", type=_address, default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
    words.add_argument("--port", type=_port, default=0, help="0 to 65535; default: 0, any free one")
    words.add_argument("--api-key", type=_key, metavar="KEY", help="the one key to take; default: any")
    words.add_argument(
        "--certificate-out", type=Path, metavar="FILE", help="where to write the certificate; default: a temporary file"
    )
    words.add_argument(
        "--script",
        type=_script,
        metavar="SCRIPT",
        help="answer from a YAML file instead of listening and looking; tone:SECONDS counts aloud that long",
    )
    words.add_argument(
        "--go-away",
        type=_seconds,
        default=TEN_MINUTES.until_warning,
        metavar="SECONDS",
        help="the age at which a connection is told to go; default: 540",
    )
    words.add_argument(
        "--time-left",
        type=_seconds,
        default=TEN_MINUTES.after_warning,
        metavar="SECONDS",
        help="from being told to go until it is closed; default: 60",
    )
    words.add_argument("--faults", action="store_true", help="let clients order faults with the header x-engine-fault")
    return words


async def _serve(asked: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as parts:
        engine = LocalEngine(
            await parts.enter_async_context(_responder(asked.script)),
            host=asked.host,
            port=asked.port,
            key=asked.api_key,
            lifetime=Lifetime(asked.go_away, asked.time_left),
            takes_faults=asked.faults,
        )
        try:
            await parts.enter_async_context(engine)
        except OSError as error:
            sys.stderr.write(f"Cannot listen on {asked.host}:{asked.port}: {error.strerror or error}\n")
            return 1
        folder = parts.enter_context(tempfile.TemporaryDirectory(prefix="mediaserver-"))
        certificate = asked.certificate_out or Path(folder, "engine.pem")
        try:
            _write(engine.certificate, certificate)
        except OSError as error:
            sys.stderr.write(f"Cannot write {certificate}: {error.strerror or error}\n")
            return 2
        sys.stdout.write(_GREETING.format(url=engine.base_url, certificate=certificate, key=asked.api_key or "any"))
        sys.stdout.flush()
        await stop.wait()
        sys.stdout.write("Stopping: sessions are told and closed.\n")
    return 0


@asynccontextmanager
async def _responder(scripted: ScriptedResponder | None) -> AsyncIterator[Responder]:
    if scripted is not None:
        try:
            await scripted.start()
            yield scripted
        finally:
            await scripted.close()
        return
    ocr = Ocr()
    brain = LocalResponder(ocr)
    try:
        await asyncio.gather(brain.start(), ocr.warm())
        yield brain
    finally:
        await asyncio.gather(brain.close(), ocr.close())


def _write(certificate: bytes, path: Path) -> None:
    path.write_bytes(certificate)


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address, such as 127.0.0.1") from None
    if address.is_unspecified:
        raise argparse.ArgumentTypeError(f"{text} cannot be certified: name the one address to listen on")
    return str(address)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not text.strip():
        raise argparse.ArgumentTypeError("a key is one or more ASCII characters")
    return text.strip()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0, up to 86400")
    return seconds


def _script(text: str) -> ScriptedResponder:
    kind, separator, seconds = text.partition(":")
    if kind == "tone" and separator:
        length = _seconds(seconds)
        if length > LONGEST_TONE:
            raise argparse.ArgumentTypeError(f"a tone lasts up to {LONGEST_TONE:g} seconds")
        return tone_responder(length)
    try:
        return load_script(Path(text))
    except (ScriptError, OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
