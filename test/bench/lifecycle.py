# SPDX-License-Identifier: GPL-2.0-or-later
"""What the life of a set costs: taking snapshots, listing and mounting a thousand, memory and threads for each, writes under a
chain of them, and how long a loaded filesystem stands still for one."""
import contextlib
import json
import os
import statistics
import subprocess
import time
from typing import NamedTuple

from machine import run

MIB = 1 << 20
TIB = 1 << 40
MANY = 1000


class Outcome(NamedTuple):
    what: str
    figure: float
    wanted: str
    reached: bool


def at_most(what, figure, limit):
    return Outcome(what, figure, f"at most {limit:g}", figure <= limit)


def seconds(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


class Lifecycle:
    def __init__(self, scratch, program, transport, rounds):
        self.memory, self.disk = scratch.folder("memory", "lifecycle"), scratch.folder("disk", "lifecycle")
        self.program, self.transport, self.rounds = program, transport, rounds

    def dmsnap(self, *words):
        return subprocess.run([self.program, *words], check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def served(self, image, *options):
        point = image.parent / "mount"
        point.mkdir(exist_ok=True)
        self.dmsnap("mount", "--transport", self.transport, *options, image, point)
        try:
            yield point
        finally:
            self.dmsnap("umount", point)

    def ask(self, point, **request):
        control = os.open(point / ".dmsnap/control", os.O_RDWR)
        os.write(control, json.dumps(request).encode() + b"\n")
        reply = json.loads(b"".join(iter(lambda: os.read(control, 1 << 20), b"")))
        os.close(control)
        if not reply["ok"]:
            raise RuntimeError(reply["error"])
        return reply

    def process(self, point):
        """KiB in memory and threads of the daemon."""
        pid = self.ask(point, verb="status")["status"]["pid"]
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.split(":", 1) for line in file)
        return int(status["VmRSS"].split()[0]), int(status["Threads"])

    def image(self, folder, size):
        for each in folder.iterdir():
            if each.is_file():
                each.unlink()
        run("rm", "-rf", folder / "image.dmsnap")
        image = folder / "image"
        with open(image, "wb") as file:
            file.truncate(size)
        return image

    def one_of_a_tebibyte(self):
        with self.served(self.image(self.disk, TIB)) as point:
            times = [seconds(lambda n=n: self.ask(point, verb="create", name=f"s{n}", freeze="no")) for n in range(5 * self.rounds)]
        return at_most("create of an idle image of 1 TiB, ms", statistics.median(times) * 1000, 20)

    def create_many(self, point, count, **members):
        self.ask(point, verb="create", names=[f"s{n}" for n in range(count)], freeze="no", **members)

    def a_thousand(self, chunk_sectors):
        image = self.image(self.memory, 1 << 30)
        chunk = f"chunks of {chunk_sectors // 2} KiB"
        with self.served(image) as point:
            before, threads_before = self.process(point)
            for first in range(0, MANY, 100):
                self.ask(point, verb="create", names=[f"s{n}" for n in range(first, first + 100)], freeze="no", chunk_sectors=chunk_sectors)
            after, threads = self.process(point)
            listing = statistics.median(seconds(lambda: self.dmsnap("list", point)) for _ in range(self.rounds))
        yield at_most(f"{chunk}: memory for each of {MANY} empty snapshots, KiB", (after - before) / MANY, 64)
        yield at_most(f"{chunk}: threads more with {MANY}", threads - threads_before, 8)
        yield at_most(f"{chunk}: list of {MANY}, ms", listing * 1000, 50)
        begin = time.monotonic()
        with self.served(image):
            mounting = time.monotonic() - begin
        yield at_most(f"{chunk}: mount of {MANY}, s", mounting, 1)

    def first_writes(self, count):
        """Seconds for first writes to the origin that are flushed at the end."""
        image = self.image(self.memory, 1 << 30)
        with open(image, "r+b") as file:
            for _ in range(256):
                file.write(os.urandom(MIB))
        with self.served(image, "--layout", "chained") as point:
            for first in range(0, count, 100):
                self.ask(point, verb="create", names=[f"s{n}" for n in range(first, min(first + 100, count))], freeze="no")
            origin = os.open(point / "origin", os.O_RDWR)
            block = os.urandom(4096)
            begin = time.monotonic()
            for number in range(32768):
                os.pwrite(origin, block, number * 8192 % (256 * MIB))
            os.fsync(origin)
            took = time.monotonic() - begin
            os.close(origin)
        return took

    def chain(self):
        ratios = [self.first_writes(MANY) / self.first_writes(1) for _ in range(self.rounds)]
        return at_most(f"first writes to the origin in a chain of {MANY}, beside one of 1: time", statistics.median(ratios), 1.3)

    def freeze(self):
        image = self.image(self.disk, 4 << 30)
        run("mkfs.ext4", "-q", "-F", image)
        live = self.disk / "live"
        live.mkdir(exist_ok=True)
        longest = 0.0
        with self.served(image) as point:
            self.ask(point, verb="create", name="first", freeze="no")
            run("mount", "-o", "loop", point / "origin", live)
            try:
                words = ["fio", "--name=load", f"--directory={live}", "--rw=randwrite", "--bs=4k", "--size=512m", "--runtime=600",
                         "--time_based", "--fsync=64", "--ioengine=psync"]
                with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
                    time.sleep(10)
                    for number in range(self.rounds):
                        time.sleep(2)
                        reply = self.ask(point, verb="create", name=f"frozen{number}")
                        longest = max(longest, reply["freeze"]["lasted_ms"] or 0.0)
                    load.terminate()
            finally:
                run("umount", live)
        return at_most("a loaded ext4 stands still for a create, at most, s", longest / 1000, 2)

    def outcomes(self):
        yield self.one_of_a_tebibyte()
        for chunk_sectors in 8, 128, 2048:
            yield from self.a_thousand(chunk_sectors)
        yield self.chain()
        yield self.freeze()
