"""A healthy client that measures how long the server takes to answer it, and the server's memory and descriptors."""

import asyncio
import json
import time
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.acceptance.abuse.pictures import png

ADDRESS = "127.0.0.2"
INTERVAL = 0.02
PICTURE = b64encode(png(1280, 720, channels=3, depth=8)).decode()
WINDOW = 1.0
SLOW = 0.15
"""Seconds by which a disturbed window's 99th percentile is above the control's."""


@dataclass
class Canary:
    """Pings on a JSON socket; each answer is kept as (time sent, latency), in seconds."""

    answers: list[tuple[float, float]] = field(default_factory=list)

    async def run(self, server: str, over: asyncio.Event) -> None:
        """Ping until `over` is set; an answer that never comes raises `TimeoutError` after a minute."""
        connector = aiohttp.TCPConnector(local_addr=(ADDRESS, 0))
        async with aiohttp.ClientSession(server, connector=connector) as http:
            async with http.post("/api/v1/guests") as answer:
                token = (await answer.json())["access_token"]
            async with http.ws_connect(f"/ws/livekit?token={token}") as ws:
                await ws.send_json({"action": "start_session"})
                # What is loaded for the first screen is no work of the attacker's.
                await ws.send_json({"action": "screen_share_frame", "data": PICTURE, "format": "png"})
                while not over.is_set():
                    sent = time.monotonic()
                    await ws.send_json({"action": "ping", "t": sent})
                    async with asyncio.timeout(60):
                        while json.loads(await ws.receive_str()).get("t") != sent:
                            pass
                    self.answers.append((sent, time.monotonic() - sent))
                    await asyncio.sleep(INTERVAL)

    def p99(self) -> float:
        """The 99th percentile of all latencies."""
        latencies = sorted(latency for _, latency in self.answers)
        return latencies[int(len(latencies) * 0.99)]

    def slowest(self) -> dict[int, float]:
        """The slowest answer that was awaited in each window; with at most 50 answers in one it is their p99."""
        windows: dict[int, float] = {}
        for sent, took in self.answers:
            for window in range(int(sent / WINDOW), int((sent + took) / WINDOW) + 1):
                windows[window] = max(windows.get(window, 0.0), took)
        return windows


def longest_disturbance(canary: Canary, control: Canary) -> float:
    """Seconds of the longest run of windows in which the server is later than the control by more than `SLOW`."""
    usual = control.slowest()
    late = [window for window, took in canary.slowest().items() if took - usual.get(window, 0.0) > SLOW]
    longest = run = 0
    for window in sorted(late):
        run = run + 1 if window - 1 in late else 1
        longest = max(longest, run)
    return longest * WINDOW


@dataclass(frozen=True, slots=True)
class Resources:
    """The resident memory (MB), descriptors and threads of a process and all its children."""

    megabytes: float
    descriptors: int
    threads: int

    @classmethod
    def of(cls, process: int) -> "Resources":
        """Measure a process and its children."""
        kilobytes = descriptors = threads = 0
        for pid in _family(process):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            except OSError:
                continue  # a child that has ended
            numbers = dict(line.split(":", 1) for line in status.splitlines())
            kilobytes += int(numbers.get("VmRSS", "0").split()[0])
            threads += int(numbers["Threads"])
        return cls(kilobytes / 1024, descriptors, threads)


def _family(process: int) -> list[int]:
    family = [process]
    for pid in family:
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                family += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return family
