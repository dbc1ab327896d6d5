# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads on a file, and how fast it took them.

Random writes follow an order of blocks that is made here and replayed by fio, the same for everybody: so each block is
written once, and what was written is known. Whatever writes ends with an fsync inside the measured time.
"""
import dataclasses
import functools
import json
import os
import pathlib
import random
import subprocess
import time

from machine import run

BLOCK = 4096
REGION = 64 * 1024
ANYWHERE_BYTES = 512 << 20
PSYNC = ("--ioengine=psync",)
DEPTH_16 = ("--ioengine=io_uring", "--iodepth=16")


@dataclasses.dataclass(frozen=True)
class Figure:
    rate: float          # operations, or bytes, or whole runs a second
    p999: float = 0.0    # nanoseconds: 99.9 % of the operations were faster
    written: int = 0     # blocks


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Reads go on for `seconds`, a fixed amount of work ends after `at_most`; `logs` is a folder for orders of blocks."""

    logs: pathlib.Path
    seconds: int
    at_most: int
    direct: bool = True


def one_in_each_region(size):
    """A block in each 64 KiB, so that nobody's larger clusters copy ahead for free."""
    chance = random.Random(4)
    blocks = [first + chance.randrange(REGION // BLOCK) for first in range(0, size // BLOCK, REGION // BLOCK)]
    chance.shuffle(blocks)
    return blocks


def anywhere(size):
    """512 MiB of distinct blocks."""
    return random.Random(5).sample(range(size // BLOCK), min(ANYWHERE_BYTES, size // 2) // BLOCK)


def half(size):
    return random.Random(6).sample(range(size // BLOCK), size // BLOCK // 2)


def half_again(size):
    """The blocks of half(), in another order."""
    blocks = half(size)
    random.Random(7).shuffle(blocks)
    return blocks


@functools.lru_cache
def fio_log(folder, order, size, part, parts, fsync_each):
    """fio takes its own option for fsyncs only where it makes up the writes itself."""
    blocks = order(size)
    share = blocks[len(blocks) * part // parts:len(blocks) * (part + 1) // parts]
    lines = ["fio version 2 iolog", "f add", "f open"]
    for number, block in enumerate(share, 1):
        lines.append(f"f write {block * BLOCK} {BLOCK}")
        if fsync_each and number % fsync_each == 0:
            lines.append("f sync 0 0")
    path = folder / f"{order.__name__}.{size}.{part}.{parts}.{fsync_each}"
    path.write_text("\n".join(lines) + "\n")
    return path


def fio(file, options, jobs, operation_bytes=BLOCK):
    """`jobs` has the options of each job that runs at once."""
    words = ["--output-format=json", "--group_reporting", "--randseed=8", "--size=" + str(file_bytes(file)), *options]
    for number, job in enumerate(jobs):
        words += [f"--name=job{number}", *job]
    report = json.loads(run("fio", *words))["jobs"][0]
    did = max(report["read"], report["write"], key=lambda way: way["total_ios"])
    return Figure(rate=did["total_ios"] * 1000 / did["runtime"], written=report["write"]["total_ios"] * operation_bytes // BLOCK,
                  p999=did["clat_ns"].get("percentile", {}).get("99.900000", 0))


def file_bytes(file):
    with open(file, "rb") as opened:
        return opened.seek(0, os.SEEK_END)


class Replay:
    """4 KiB writes in an order of blocks."""

    def __init__(self, order, engine=PSYNC, jobs=1, fsync_each=0):
        self.order, self.engine, self.jobs, self.fsync_each = order, engine, jobs, fsync_each

    def run(self, file, conditions):
        size = file_bytes(file)
        logs = [fio_log(conditions.logs, self.order, size, part, self.jobs, self.fsync_each) for part in range(self.jobs)]
        return fio(file, [f"--replay_redirect={file}", f"--direct={int(conditions.direct)}", "--end_fsync=1",
                          "--number_ios=1",  # or fio leaves out the fsync when a log comes to its end at depth 16
                          f"--runtime={conditions.at_most}", *self.engine],
                   [[f"--read_iolog={log}"] for log in logs])


class RandomReads:
    def __init__(self, engine=PSYNC, jobs=1):
        self.engine, self.jobs = engine, jobs

    def run(self, file, conditions):
        return fio(file, [f"--filename={file}", "--direct=1", "--rw=randread", "--bs=4k", "--time_based",
                          f"--runtime={conditions.seconds}", *self.engine], [[]] * self.jobs)


class Sequential:
    """1 MiB at a time from the beginning to the end."""

    def __init__(self, way, engine=PSYNC):
        self.way, self.engine = way, engine

    def run(self, file, conditions):
        repeat = ["--time_based", f"--runtime={conditions.seconds}"] if self.way == "read" else []
        return fio(file, [f"--filename={file}", "--direct=1", f"--rw={self.way}", "--bs=1m", "--end_fsync=1", *repeat,
                          *self.engine], [[]], operation_bytes=1 << 20)


class CatAgain:
    """A file read whole, the second time."""

    def run(self, file, _):
        for _ in range(2):
            begin = time.monotonic()
            subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)
        return Figure(rate=1 / (time.monotonic() - begin))
