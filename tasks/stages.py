"""What became of partitions, how busy their stages were, and so what to buy next."""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# A processor this busy has nothing left for more readers.
_FULL = 0.9


class Clock(NamedTuple):
    """wall: seconds since 1970. cpu: of all this process's threads, seconds."""

    wall: float
    cpu: float


def clock() -> Clock:
    """Now."""
    return Clock(time.time(), time.process_time())


def own_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(slots=True)
class StageSeconds:
    """What a partition's stages did, in seconds.

    fetch: readers waited for bytes, or for a core. decode: readers computed. compute: the
    device. write: one thread hashed, compressed and wrote. readers: threads of the process.
    """

    fetch: float = 0.0
    decode: float = 0.0
    compute: float = 0.0
    write: float = 0.0
    readers: int = 1


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What became of one partition.

    stored, failed: images. reasons: (name, reason) of the failed ones. bytes: of descriptors.
    seconds: wall time. raced: another run committed it first. began, ended: of a process, whose
    host and number `worker` gives. stages: what they did meanwhile.
    """

    id: str
    stored: int
    failed: int
    reasons: tuple[tuple[str, str], ...]
    bytes: int
    seconds: float
    raced: bool = False
    began: Clock = field(default_factory=clock)
    ended: Clock = field(default_factory=clock)
    worker: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    cores: int = field(default_factory=own_cores)
    stages: StageSeconds = field(default_factory=StageSeconds)


class Occupancy(NamedTuple):
    """Shares of a run's time, 0 to 1, over all workers.

    compute: in which the device computed. fetch, decode: in which a reader waited for bytes, or
    decoded. write: in which a partition's writer wrote. processor: in which a core was busy with
    any of it. idle_cores: of one process whose stages kept its threads from more of them.
    """

    compute: float
    fetch: float
    decode: float
    write: float
    processor: float
    idle_cores: int = 0

    @property
    def slowest(self) -> str:
        """The stage that the others wait for."""
        stages = {
            "compute": self.compute,
            "read": self.fetch + self.decode,
            "write": self.write,
        }
        stage = max(stages, key=stages.__getitem__)
        if stage != "compute" and self.processor >= _FULL:
            return "processor"
        if stage == "read":
            return "fetch" if self.fetch > self.decode else "decode"
        return stage

    @property
    def line(self) -> str:
        """For the terminal."""
        shares = ", ".join(
            f"{name} {100 * getattr(self, name):.0f} %" for name in self._fields[:-1]
        )
        advice = "; threads of one process do not use all cores: try --runner dask"
        hint = advice if self.idle_cores > 1 and self.slowest != "compute" else ""
        return f"slowest stage: {self.slowest} (busy: {shares}){hint}"


def occupancy(reports: Sequence[PartitionReport]) -> Occupancy | None:
    """How busy the stages of a run were; None where nothing was computed."""
    done = [report for report in reports if not report.raced]
    workers = _by(done, lambda report: report.worker)
    walls = {name: _span(found) for name, found in workers.items()}
    if not done or not all(walls.values()):
        return None
    readers = sum(walls[name] * found[0].stages.readers for name, found in workers.items())
    cpu = sum(
        max(r.ended.cpu for r in found) - min(r.began.cpu for r in found)
        for found in workers.values()
    )
    hosts = _by(done, lambda report: report.worker.partition(":")[0]).values()
    processor = cpu / sum(_span(found) * found[0].cores for found in hosts)
    return Occupancy(
        compute=sum(r.stages.compute for r in done) / sum(walls.values()),
        fetch=sum(r.stages.fetch for r in done) / readers,
        decode=sum(r.stages.decode for r in done) / readers,
        write=sum(r.stages.write for r in done) / sum(r.seconds for r in done),
        processor=processor,
        idle_cores=int((1 - processor) * done[0].cores) if len(workers) == 1 else 0,
    )


def _by(
    reports: Sequence[PartitionReport], key: Callable[[PartitionReport], str]
) -> dict[str, list[PartitionReport]]:
    groups: dict[str, list[PartitionReport]] = defaultdict(list)
    for report in reports:
        groups[key(report)].append(report)
    return groups


def _span(reports: Sequence[PartitionReport]) -> float:
    return max(r.ended.wall for r in reports) - min(r.began.wall for r in reports)
