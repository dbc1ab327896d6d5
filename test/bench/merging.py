# SPDX-License-Identifier: GPL-2.0-or-later
"""A merge on a disk: how long it takes beside cp of the same bytes, and what who writes to the origin notices of it."""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import time
from typing import NamedTuple

from loads import PSYNC, Conditions, Figure, Replay, anywhere
from machine import GIB, run, write_random
from peers import Dmsnap

MIB = 1 << 20


class Outcome(NamedTuple):
    what: str
    figure: float
    wanted: str  # what was asked
    reached: bool


def seconds(*words):
    begin = time.monotonic()
    run(*words)
    return time.monotonic() - begin


def write_all(file):
    run("dd", "if=/dev/zero", f"of={file}", "bs=1M", f"count={os.stat(file).st_size // MIB}", "conv=notrunc,fsync")


@contextlib.contextmanager
def scattered_writes(file):
    """4 KiB writes with an fsync each 32, for as long as it is entered; the list has their figure then."""
    words = ["fio", "--name=writes", f"--filename={file}", "--rw=randwrite", "--bs=4k", "--direct=1", "--runtime=600", "--time_based",
             "--fsync=32", "--allow_file_create=0", "--randseed=9", "--output-format=json", f"--size={os.stat(file).st_size}", *PSYNC]
    figures = []
    fio = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield figures
    fio.send_signal(signal.SIGINT)
    report = fio.communicate()[0]
    did = json.loads(report[report.index("{"):])["jobs"][0]["write"]
    figures.append(Figure(rate=did["iops"], p999=did["clat_ns"]["percentile"]["99.900000"]))


class Merging:
    def __init__(self, scratch, program, transport, rounds, runtime):
        self.folder, self.program, self.rounds, self.runtime = scratch.folder("disk", "merging"), program, rounds, runtime
        self.image = self.folder / "image"
        self.dmsnap = Dmsnap("dmsnap", program, transport, view="origin", snapshots=0)

    def create(self, origin, name):
        run(self.program, "create", origin.parent, name)

    def merge(self, origin, *options):
        return seconds(self.program, "merge", *options, origin.parent, "old")

    def beside_cp(self):
        """All of the image was overwritten in order, so that all of it is copied back."""
        write_random(self.image, GIB)
        ratios = []
        with self.dmsnap.serve(self.image, self.folder) as origin:
            for _ in range(self.rounds):
                self.create(origin, "old")
                write_all(origin)
                run("sync")
                cow, copy = self.folder / "store" / "old.cow", self.folder / "copy"
                cp = seconds("cp", cow, copy) + seconds("sync", copy)
                copy.unlink()
                ratios.append(cp / self.merge(origin, "--wait"))
        return statistics.median(ratios)

    def beside_writes(self):
        """Of writes to the origin, which another snapshot has to keep things of, before and during a merge of scattered chunks."""
        write_random(self.image, GIB)
        with self.dmsnap.serve(self.image, self.folder) as origin:
            self.create(origin, "old")
            Replay(anywhere).run(origin, Conditions(self.folder, 1, at_most=60))
            self.create(origin, "other")
            with scattered_writes(origin) as alone:
                time.sleep(self.runtime)
            with scattered_writes(origin) as during:
                self.merge(origin, "--force", "--wait")
        return alone[0], during[0]

    def outcomes(self):
        ratio = self.beside_cp()
        yield Outcome("merge of 1 GiB in order, beside cp of the same bytes", ratio, "at least 0.7", ratio >= 0.7)
        alone, during = self.beside_writes()
        rate, slowest = during.rate / alone.rate, during.p999 / 1e6
        yield Outcome("writes to the origin during a merge, beside those before it", rate, "at least 0.5", rate >= 0.5)
        yield Outcome("99.9 % of them are faster than, ms", slowest, "at most 300", slowest <= 300)
