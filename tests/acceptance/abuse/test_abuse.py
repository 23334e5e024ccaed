"""No attack of one address takes the server from the others: a healthy client is answered, and all comes back."""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.abuse.attacks import ATTACKS
from tests.acceptance.abuse.canary import Canary, Resources, longest_disturbance
from tests.support.server_process import ROOT, Server, serving

pytestmark = [pytest.mark.acceptance, pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")]

SECONDS = 10.0
MAX_DISTURBANCE = 2.0
MAX_MEGABYTES = 100.0
MAX_LOG = 256_000
RECOVERY = 60.0
SETTLED = Resources(megabytes=50, descriptors=8, threads=8)
"""What may be more than before: freed memory that the allocator keeps, log and database files, threads that wait."""


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Server]:
    """A server with default limits."""
    with serving(tmp_path) as running:
        yield running


@pytest.fixture
def control() -> Iterator[str]:
    """The address of the control server."""
    command = (sys.executable, "-m", "tests.acceptance.abuse.control")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


async def settled(process: int) -> Resources:
    """Wait until all that is loaded after the start is loaded."""
    resources = Resources.of(process)
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(3)
            earlier, resources = resources, Resources.of(process)
            if abs(resources.megabytes - earlier.megabytes) < 1:
                return resources


def live_sessions(server: str) -> float:
    with urllib.request.urlopen(f"{server}/api/v1/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(float(number) for number in re.findall(r"^mediaserver_live_sessions\{.*\} (\S+)$", text, re.MULTILINE))


def is_back(before: Resources, after: Resources) -> bool:
    return (
        after.megabytes <= before.megabytes + SETTLED.megabytes
        and after.descriptors <= before.descriptors + SETTLED.descriptors
        and after.threads <= before.threads + SETTLED.threads
    )


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(name, marks=pytest.mark.xfail(reason=attack.weakness) if attack.weakness else ())
        for name, attack in ATTACKS.items()
    ],
)
def test_an_attack_of_one_address_is_hardly_noticed_by_others(
    attack: str, attacked: Server, control: str, tmp_path: Path
) -> None:
    process = attacked.process.pid
    canary, machine, peak = Canary(), Canary(), Resources(0, 0, 0)

    async def trial() -> tuple[Resources, dict[str, int]]:
        nonlocal peak
        over = asyncio.Event()
        async with asyncio.TaskGroup() as healthy:
            healthy.create_task(canary.run(attacked.address, over))
            healthy.create_task(machine.run(control, over))
            before = await settled(process)
            command = (sys.executable, "-m", "tests.acceptance.abuse.attacks", attack, attacked.address, str(SECONDS))
            attacker = await asyncio.create_subprocess_exec("nice", *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
            reading = healthy.create_task(attacker.communicate())
            while not reading.done():
                peak = max(peak, Resources.of(process), key=lambda resources: resources.megabytes)
                await asyncio.wait({reading}, timeout=0.1)
            over.set()
        return before, json.loads(reading.result()[0])

    before, counts = asyncio.run(trial())
    until = time.monotonic() + RECOVERY
    while not is_back(before, after := Resources.of(process)) or live_sessions(attacked.address):
        assert time.monotonic() < until, f"left of the attack: {after}, {live_sessions(attacked.address)} sessions"
        time.sleep(0.2)
    log = (tmp_path / "stderr.log").read_text()
    disturbance = longest_disturbance(canary, machine)
    print(
        f"\n{attack}: {counts}; the healthy client's p99 {canary.p99() * 1000:.0f} ms (of the control"
        f" {machine.p99() * 1000:.0f} ms), disturbed for {disturbance:.0f} s at most; memory {before.megabytes:.0f} ->"
        f" {peak.megabytes:.0f} -> {after.megabytes:.0f} MB; descriptors {before.descriptors} -> {after.descriptors};"
        f" threads {before.threads} -> {after.threads}; log {len(log)} bytes"
    )
    missing = [count for count in ATTACKS[attack].reaches if not counts.get(count)]
    assert not missing, "the attack has not reached what it attacks"
    assert disturbance <= MAX_DISTURBANCE
    assert peak.megabytes - before.megabytes <= MAX_MEGABYTES
    assert len(log) <= MAX_LOG
    assert "Traceback" not in log
    # Reflection: others receive no more than was sent for them.
    assert counts.get("datagram bytes", 0) <= counts.get("offer bytes", 0)
