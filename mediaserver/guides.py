"""The guides of the server and those of its users, which are files in DATA_DIR."""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from loguru import logger

from pipeline.guidance.guide import Guide, GuideError, parse_guide
from pipeline.guidance.library import GuideLibrary, LoadedGuides, load_guides, read_guide

SHIPPED = Path(__file__).with_name("shipped_guides")
"""The folder of the guides that come with the server."""

MAX_OWN_GUIDES = 50
"""Guides that one user may keep."""

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

T = TypeVar("T")


class GuideFilesError(Exception):
    """The guides of users cannot be read or written now."""


class TooManyGuidesError(Exception):
    """The user has `MAX_OWN_GUIDES` guides."""


def load_server_guides(folder: Path | None) -> LoadedGuides:
    """Load the shipped guides and those of GUIDES_DIR, which replace shipped ones of the same id; never raises."""
    shipped = load_guides(SHIPPED)
    if folder is None:
        return shipped
    try:
        own = load_guides(folder)
    except OSError as error:
        return LoadedGuides(shipped.guides, (f"{folder} cannot be read: {error.strerror or error}",))
    return LoadedGuides(shipped.guides + own.guides, shipped.faults + own.faults)


class GuideShelf:
    """Every user sees the server's guides and their own; an own one replaces the server's of the same id.

    Raises `GuideFilesError` when the files fail. Files are read each time: there are few, and a person waits.
    """

    def __init__(self, server_guides: Iterable[Guide], folder: Path):
        self._server_guides = tuple(server_guides)
        self._folder = folder
        self._writing = asyncio.Lock()

    async def of(self, user: str) -> GuideLibrary:
        """Return the guides that a user may follow."""
        return GuideLibrary((*self._server_guides, *await self.own(user)))

    async def own(self, user: str) -> tuple[Guide, ...]:
        """Return the guides that a user has made."""
        return await _in_thread(lambda: _read_all(self._path(user)))

    async def library(self, user: str) -> GuideLibrary:
        """Return the guides that a user may follow; while the files fail, the server's alone."""
        try:
            return await self.of(user)
        except GuideFilesError as error:
            logger.warning("a user's guides cannot be read", reason=str(error))
            return GuideLibrary(self._server_guides)

    async def save(self, user: str, guide_id: str, text: str) -> tuple[Guide, bool]:
        """Create or replace a user's guide; returns it and whether it is new.

        Raises `GuideError` for a text that is no guide, and `TooManyGuidesError`.
        """
        guide = parse_guide(text, guide_id=guide_id)
        async with self._writing:
            own = {guide.id for guide in await self.own(user)}
            if guide_id not in own and len(own) >= MAX_OWN_GUIDES:
                raise TooManyGuidesError
            await _in_thread(lambda: _write(self._path(user) / f"{guide_id}.md", text))
        return guide, guide_id not in own

    async def delete(self, user: str, guide_id: str) -> bool:
        """Delete a user's own guide; returns False if there is none."""
        async with self._writing:
            return await _in_thread(lambda: _delete(self._path(user) / f"{guide_id}.md"))

    async def forget(self, user: str) -> None:
        """Delete every guide of a user."""
        async with self._writing:
            await _in_thread(lambda: shutil.rmtree(self._path(user), ignore_errors=True))

    def _path(self, user: str) -> Path:
        if not _FOLDER_NAME.fullmatch(user):
            raise GuideFilesError("The user's id is no name of a folder.")
        return self._folder / user


async def _in_thread(function: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(function)
    except OSError as error:
        raise GuideFilesError(error.strerror or str(error)) from error


def _read_all(folder: Path) -> tuple[Guide, ...]:
    guides: list[Guide] = []
    for path in sorted(folder.glob("*.md")):
        try:
            guides.append(read_guide(path))
        except GuideError as error:
            logger.warning("a user's guide is damaged", file=error.file, line=error.line)
    return tuple(guides)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside it and renamed, so that a crash leaves the old guide or the new one.
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
