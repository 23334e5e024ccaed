"""The load client, a process of its own that `bench.run` starts; it reports its phases as JSON lines.

It writes {"phase": name} when it reaches a phase and continues when it reads a line; the users run on meanwhile. The
phases: `warmed` (one user has had a conversation and left), `begin` and `end` of each window, and `result`.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import aiohttp
from aiortc import RTCCertificate

from bench.audio_fixture import load_voice
from bench.playback_gaps import FRAME, continuity
from bench.quantiles import percentile
from bench.scenario import Pattern, Turn, turns_within
from bench.simulated_user import Connected, Material, SimulatedUser
from bench.tick_scheduler import MAX_SLOTS, TickScheduler
from bench.video_fixture import SECONDS, encode_share

_SEED_WITHOUT_BARGE_IN = 1
_POLL = 0.1
_WARM_POLLS = 150


@dataclass(frozen=True, slots=True)
class Plan:
    """The load to generate; times in seconds."""

    server: str
    sessions: int
    seconds: float
    warmup: float
    stagger: float
    probes: int
    reply: float
    has_screen: bool


@dataclass(frozen=True, slots=True)
class Window:
    """Results of all users in one stretch of time; latencies in seconds, newest last."""

    alive: int
    """Users connected from its beginning to its end."""
    replies: list[float]
    """From the last packet of speech sent to the first loud packet of the reply received."""
    cuts: list[float]
    """From the first packet of speech sent to the arrival of the last loud packet of the reply before, plus 20 ms."""
    frames_due: int
    frames_heard: int
    largest_gap: float
    troubles: dict[str, int]
    late_p99: float
    """Lateness of this client's own wake-ups (99th percentile), which limits the accuracy of the latencies."""
    late_max: float


@dataclass(frozen=True, slots=True)
class Result:
    """Results of a whole run; connects in seconds."""

    windows: list[Window]
    connects: list[float]
    """POST sent to DTLS done."""
    answers: list[float]
    """POST sent to answer read."""
    first_packets: list[float]
    """POST sent to the first RTP packet, for users who received one before they first spoke."""
    failures: dict[str, int]


class Load:
    """Runs a plan; `report` reports a phase and waits until it may continue."""

    def __init__(self, plan: Plan, http: aiohttp.ClientSession):
        self._plan = plan
        self._http = http
        self._material = Material(
            load_voice(), encode_share() if plan.has_screen else (), Pattern(), RTCCertificate.generateCertificate()
        )
        self._scheduler = TickScheduler(min(max(plan.sessions, 1), MAX_SLOTS))
        self._users: list[SimulatedUser] = []
        self._connects: list[Connected] = []
        self._first_packets: list[float] = []
        self._failures: Counter[str] = Counter()

    async def run(self) -> Result:
        """Warm the server up, join, measure, leave."""
        await self._warm()
        await report_phase("warmed")
        await self._join()
        windows = [await self._measure("audio")]
        if self._plan.has_screen:
            await self._share()
            windows.append(await self._measure("screen"))
        await self._probe()
        for user in self._users:
            self._count(user)
        await asyncio.gather(*(user.leave() for user in self._users))
        self._scheduler.stop()
        return Result(
            windows,
            connects=[one.connected - one.posted for one in self._connects],
            answers=[one.answered - one.posted for one in self._connects],
            first_packets=self._first_packets,
            failures=dict(self._failures),
        )

    async def _warm(self) -> None:
        """Play one utterance and its whole reply, so that the costs of a server's first user are not counted."""
        user = SimulatedUser(self._http, self._material, seed=_SEED_WITHOUT_BARGE_IN)
        await user.join()
        if user.failure is None:
            user.is_sharing = self._plan.has_screen
            self._scheduler.subscribe(user.tick)
            for _ in range(_WARM_POLLS):
                await asyncio.sleep(_POLL)
                if any(turn.ended_at is not None for turn in user.scenario.turns) or user.failure is not None:
                    break
            self._scheduler.unsubscribe(user.tick)
        if user.failure is not None:
            self._failures[f"while warming: {user.failure}"] += 1
        await user.leave()
        await asyncio.sleep(1.0)

    async def _join(self) -> None:
        for seed in range(self._plan.sessions):
            user = SimulatedUser(self._http, self._material, seed=seed)
            self._users.append(user)
            await user.join()
            self._scheduler.subscribe(user.tick)
            await asyncio.sleep(self._plan.stagger)

    async def _share(self) -> None:
        """Start the screen shares one after the other, so that their large pictures do not coincide."""
        for user in self._users:
            user.is_sharing = True
            await asyncio.sleep(SECONDS / len(self._users))

    async def _measure(self, name: str) -> Window:
        await asyncio.sleep(self._plan.warmup)
        gc.collect()
        gc.freeze()
        await report_phase("begin", window=name)
        begun, since = {user for user in self._users if user.failure is None}, time.monotonic()
        self._scheduler.lateness.clear()
        await asyncio.sleep(self._plan.seconds)
        until, lateness = time.monotonic(), list(self._scheduler.lateness)
        await report_phase("end", window=name)
        turns = [turn for user in self._users for turn in turns_within(user.scenario.turns, since=since, until=until)]
        alive = sum(user.failure is None for user in begun)
        return summarize(turns, alive=alive, reply=self._plan.reply, lateness=lateness)

    async def _probe(self) -> None:
        """Connect and leave, one user after the other, while the others talk."""
        for seed in range(self._plan.probes):
            user = SimulatedUser(self._http, self._material, seed=seed)
            await user.join()
            await asyncio.sleep(0.1)
            self._count(user)
            await user.leave()

    def _count(self, user: SimulatedUser) -> None:
        if user.failure is not None:
            self._failures[user.failure] += 1
        if user.connect is None:
            return
        self._connects.append(user.connect)
        spoke = user.scenario.turns[0].speech_start if user.scenario.turns else None
        if user.first_rtp is not None and (spoke is None or user.first_rtp < spoke):
            self._first_packets.append(user.first_rtp - user.connect.posted)


def summarize(turns: Sequence[Turn], *, alive: int, reply: float, lateness: Sequence[float]) -> Window:
    """Summarize these turns; a whole reply lasts `reply` seconds."""
    heard = [
        continuity(turn.arrivals, expected=None if turn.is_interrupted else round(reply / FRAME))
        for turn in turns
        if turn.first_loud is not None and turn.ended_at is not None
    ]
    return Window(
        alive=alive,
        replies=[turn.reply_latency for turn in turns if turn.reply_latency is not None],
        cuts=[
            turn.barge_in_latency for turn in turns if turn.barge_in_latency is not None and turn.speech_end is not None
        ],
        frames_due=sum(one.due for one in heard),
        frames_heard=sum(one.heard for one in heard),
        largest_gap=max((one.largest_gap for one in heard), default=0.0),
        troubles=dict(Counter(turn.failure.value for turn in turns if turn.failure is not None)),
        late_p99=percentile(lateness, 0.99) or 0.0,
        late_max=max(lateness, default=0.0),
    )


async def report_phase(phase: str, **more: object) -> None:
    """Report a phase and wait for a line; raises EOFError when the parent has closed the pipe."""
    print(json.dumps({"phase": phase, **more}), flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        raise EOFError("the bench has ended")


async def _run(plan: Plan) -> None:
    async with aiohttp.ClientSession(plan.server) as http:
        result = await Load(plan, http).run()
    print(json.dumps({"phase": "result", "result": asdict(result)}), flush=True)


def main() -> None:
    """Read the plan from one argument, as JSON, and run it."""
    parser = argparse.ArgumentParser(description="The load client of `python -m bench`.")
    parser.add_argument("plan", help="a Plan as JSON")
    asyncio.run(_run(Plan(**json.loads(parser.parse_args().plan))))


if __name__ == "__main__":
    main()
