"""No attack of one address takes the server from the others: a healthy client is answered, and all comes back."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.abuse.attacks import ATTACKS
from tests.acceptance.abuse.canary import Canary, Resources
from tests.support.server_process import ROOT, Server, serving

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")]

SECONDS = 10.0
MAX_DISTURBANCE = 2.0
MAX_MEGABYTES = 100.0
MAX_LOG = 256_000
RECOVERY = 40.0
SETTLED_DESCRIPTORS = 8
"""Descriptors that may be more than before: files of the log and of the database."""


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Server]:
    """A server with default limits."""
    with serving(tmp_path) as running:
        yield running


async def settled(process: int) -> Resources:
    """Wait until all that is loaded after the start is loaded."""
    resources = Resources.of(process)
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(3)
            earlier, resources = resources, Resources.of(process)
            if abs(resources.megabytes - earlier.megabytes) < 1:
                return resources


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_of_one_address_is_hardly_noticed_by_others(attack: str, attacked: Server, tmp_path: Path) -> None:
    process = attacked.process.pid
    canary, peak = Canary(), Resources(0, 0)

    async def trial() -> tuple[Resources, dict[str, int]]:
        nonlocal peak
        over = asyncio.Event()
        healthy = asyncio.create_task(canary.run(attacked.address, over))
        before = await settled(process)
        command = (sys.executable, "-m", "tests.acceptance.abuse.attacks", attack, attacked.address, str(SECONDS))
        attacker = await asyncio.create_subprocess_exec("nice", *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        reading = asyncio.create_task(attacker.communicate())
        while not reading.done():
            peak = max(peak, Resources.of(process), key=lambda resources: resources.megabytes)
            await asyncio.wait({reading}, timeout=0.1)
        out, _ = await reading
        over.set()
        await healthy
        return before, json.loads(out)

    before, counts = asyncio.run(trial())
    until = time.monotonic() + RECOVERY
    while (after := Resources.of(process)).descriptors > before.descriptors + SETTLED_DESCRIPTORS:
        assert time.monotonic() < until, f"{after} is left of an attack; before it: {before}"
        time.sleep(0.2)
    log = (tmp_path / "stderr.log").read_text()
    print(
        f"\n{attack}: {counts}; the healthy client's p99 {canary.p99() * 1000:.0f} ms, disturbed for"
        f" {canary.longest_disturbance():.0f} s at most; memory {before.megabytes:.0f} -> {peak.megabytes:.0f} ->"
        f" {after.megabytes:.0f} MB; descriptors {before.descriptors} -> {after.descriptors}; log {len(log)} bytes"
    )
    assert canary.longest_disturbance() <= MAX_DISTURBANCE
    assert peak.megabytes - before.megabytes <= MAX_MEGABYTES
    assert len(log) <= MAX_LOG
    assert "Traceback" not in log
    # Reflection: others receive no more than was sent for them.
    assert counts.get("datagram bytes", 0) <= counts.get("offer bytes", 0)
