"""`run.py engine`: the local engine alone, for others to develop against what speaks Gemini Live's protocol."""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from mediaserver import logs
from mediaserver.localengine.responder.interface import Responder
from mediaserver.localengine.responder.local import LocalResponder
from mediaserver.localengine.responder.scripted import ScriptedResponder
from mediaserver.localengine.server import LocalEngine
from mediaserver.localengine.session.connection_lifetime import Lifetime
from pipeline.errors import MediaError
from pipeline.screen.ocr import Ocr

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


def main(asked: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 then, 2 when it cannot be done as `asked`, 1 when it cannot listen."""
    logs.configure(level="WARNING", folder=None)
    try:
        return asyncio.run(_serve(asked))
    except MediaError as error:
        sys.stderr.write(f"The local engine cannot work: {error}\n")
        return 2


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
