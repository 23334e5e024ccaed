"""`run.py engine`: the local engine alone, a Gemini Live server to develop against."""

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

MAX_TONE = 600.0
"""Seconds of the longest tone."""

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


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM. Returns 0, 2 for wrong arguments, or 1 if it cannot listen."""
    try:
        options = parser().parse_args(arguments)
        if options.api_key is None and not ipaddress.ip_address(options.host).is_loopback:
            parser().error(f"others can reach {options.host}: give an --api-key")
    except SystemExit as stop:
        return int(stop.code or 0)
    logs.configure(level="WARNING", folder=None)
    try:
        return asyncio.run(_serve(options))
    except MediaError as error:
        sys.stderr.write(f"The local engine cannot work: {error}\n")
        return 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments after `engine`."""
    arguments = argparse.ArgumentParser("run.py engine", description="The local engine alone, until Ctrl-C.")
    arguments.add_argument("--host", type=_address, default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
    arguments.add_argument("--port", type=_port, default=0, help="0 to 65535; default: 0, any free one")
    arguments.add_argument("--api-key", type=_key, metavar="KEY", help="the only accepted key; default: any")
    arguments.add_argument(
        "--certificate-out", type=Path, metavar="FILE", help="where to write the certificate; default: a temporary file"
    )
    arguments.add_argument(
        "--script",
        type=_script,
        metavar="SCRIPT",
        help="answer from a YAML file instead of listening and looking; tone:SECONDS counts aloud that long",
    )
    arguments.add_argument(
        "--go-away",
        type=_seconds,
        default=TEN_MINUTES.until_warning,
        metavar="SECONDS",
        help="age of a connection at which goAway is sent; default: 540",
    )
    arguments.add_argument(
        "--time-left",
        type=_seconds,
        default=TEN_MINUTES.after_warning,
        metavar="SECONDS",
        help="time from goAway until the connection is closed; default: 60",
    )
    arguments.add_argument(
        "--faults", action="store_true", help="let clients request faults with the header x-engine-fault"
    )
    return arguments


async def _serve(options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as parts:
        engine = LocalEngine(
            await parts.enter_async_context(_responder(options.script)),
            host=options.host,
            port=options.port,
            key=options.api_key,
            lifetime=Lifetime(options.go_away, options.time_left),
            takes_faults=options.faults,
        )
        try:
            await parts.enter_async_context(engine)
        except OSError as error:
            sys.stderr.write(f"Cannot listen on {options.host}:{options.port}: {error.strerror or error}\n")
            return 1
        folder = parts.enter_context(tempfile.TemporaryDirectory(prefix="mediaserver-"))
        certificate = options.certificate_out or Path(folder, "engine.pem")
        try:
            _write(engine.certificate, certificate)
        except OSError as error:
            sys.stderr.write(f"Cannot write {certificate}: {error.strerror or error}\n")
            return 2
        sys.stdout.write(_GREETING.format(url=engine.base_url, certificate=certificate, key=options.api_key or "any"))
        sys.stdout.flush()
        await stop.wait()
        sys.stdout.write("Stopping: every session gets goAway and is closed.\n")
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
    responder = LocalResponder(ocr)
    try:
        await asyncio.gather(responder.start(), ocr.warm())
        yield responder
    finally:
        await asyncio.gather(responder.close(), ocr.close())


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
        if length > MAX_TONE:
            raise argparse.ArgumentTypeError(f"a tone lasts up to {MAX_TONE:g} seconds")
        return tone_responder(length)
    try:
        return load_script(Path(text))
    except (ScriptError, OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
