"""Starts the server from its settings and reports on the terminal."""

import argparse
import asyncio
import gc
import signal
import sys

from loguru import logger

from mediaserver import __version__, logs
from mediaserver.allocator import return_large_blocks
from mediaserver.app import running_application, tls_context
from mediaserver.auth.passwords import Passwords
from mediaserver.cli import users as users_cli
from mediaserver.http_server import AcceptFailures, BoundedRunner, Listener, ListenError, raise_descriptor_limit
from mediaserver.settings import Settings, SettingsError, load, warnings
from mediaserver.store.interface import StoreError
from mediaserver.store.sql_store import open_store
from pipeline.errors import MediaError


def manage_accounts(options: argparse.Namespace) -> int:
    """Run a `user` command on the configured database; returns the exit status."""
    try:
        settings = load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.configure(level="WARNING", folder=None)
    return asyncio.run(_run_users_command(settings, options))


async def _run_users_command(settings: Settings, options: argparse.Namespace) -> int:
    passwords = Passwords()
    try:
        store = await open_store(settings.database_url, data_dir=settings.data_dir)
        try:
            return await users_cli.run(options, store, passwords)
        finally:
            await store.close()
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    finally:
        passwords.close()


def serve() -> int:
    """Serve until SIGINT or SIGTERM; returns 0, 1 if it cannot listen, 2 if it cannot start."""
    try:
        settings = load()
    except SettingsError as error:
        for fault in error.faults:
            sys.stderr.write(fault + "\n")
        return 2
    folder = settings.log_dir if settings.is_production else None
    try:
        logs.configure(level="DEBUG" if settings.debug else settings.log_level, folder=folder)
    except OSError as error:
        sys.stderr.write(f"LOG_DIR: {folder} cannot be written to: {error.strerror or error}\n")
        return 2
    for name, warning in warnings(settings).items():
        logger.warning(f"{name} {warning}")
    log_guest_policy(settings)
    return_large_blocks()
    return asyncio.run(_serve(settings), debug=settings.debug)


def log_guest_policy(settings: Settings) -> None:
    """Log who may be a guest, where guests cost money and others than this machine reach the server."""
    if not settings.uses_gemini or not _listens_beyond_loopback(settings):
        return
    match settings.allow_guests:
        case True:
            logger.warning("ALLOW_GUESTS is true: all who reach this server may be guests and use GEMINI_API_KEY")
        case None if not settings.is_production:
            logger.warning(
                "ALLOW_GUESTS is not set: users of this machine may be guests and use GEMINI_API_KEY, and so may users "
                "of a proxy or tunnel on it that adds no forwarding header. ALLOW_GUESTS=false takes no guests"
            )
        case _:
            logger.info("nobody may be a guest")


def _listens_beyond_loopback(settings: Settings) -> bool:
    return settings.host not in ("127.0.0.1", "localhost", "::1")


async def _serve(settings: Settings) -> int:
    raise_descriptor_limit()
    try:
        # Before anything is loaded, so that a port that is taken is told at once.
        listener = await Listener.bind(settings.host, settings.port, tls_context(settings))
    except OSError as error:
        return _cannot_listen(settings, error)
    try:
        async with running_application(settings) as app:
            runner = BoundedRunner(app, shutdown_timeout=2.0)
            await runner.setup()
            try:
                await listener.serve(runner)
                await _until_stopped(settings, listener.port)
            finally:
                listener.close()
                await runner.cleanup()
    except ListenError as error:
        return _cannot_listen(settings, error.reason)
    except (MediaError, SettingsError, StoreError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    finally:
        listener.close()
    return 0


def _cannot_listen(settings: Settings, error: OSError) -> int:
    sys.stderr.write(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}\n")
    return 1


async def _until_stopped(settings: Settings, port: int) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(AcceptFailures())
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    freeze_gc()
    _print_banner(settings, port)
    await stop.wait()
    sys.stdout.write("Stopping: sessions are told and closed.\n")


def freeze_gc() -> None:
    """Exclude the objects of the startup from garbage collection; they live as long as the process."""
    # A full pass over 225,000 objects stops all sessions for 130 ms; over the rest it takes less than 1 ms.
    gc.collect()
    gc.freeze()


def _print_banner(settings: Settings, port: int) -> None:
    scheme = "https" if settings.tls_cert else "http"
    lines = [f"Mediaserver {__version__}: {scheme}://localhost:{port}"]
    if settings.uses_gemini:
        lines.append(f"Engine: Gemini Live ({settings.gemini_model})")
    elif settings.local_engine_script:
        lines.append(f"Engine: local, scripted by {settings.local_engine_script}")
    elif settings.uses_language_model:
        lines.append("Engine: local; what you ask is answered by your own language model.")
        lines.append(f"brain: {settings.local_llm_model} at {settings.local_llm_url}")
    else:
        lines.append(
            "Engine: local (offline; a small set of questions). For Gemini Live set GEMINI_API_KEY and start again."
        )
    if _listens_beyond_loopback(settings) and not settings.tls_cert:
        lines.append("From another machine browsers allow the microphone over https only: set TLS_CERT and TLS_KEY.")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
