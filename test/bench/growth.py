# SPDX-License-Identifier: GPL-2.0-or-later
"""How dmsnap's speed and memory change as things grow: snapshots, fill, the size of the image, exceptions."""
import contextlib
import os
import shutil
import statistics
import time
from typing import NamedTuple

from loads import DEPTH_16, PSYNC, Conditions, RandomReads, Replay, fio, one_in_each_region
from machine import GIB, resident_bytes, run, unmount, write_random
from peers import Dmsnap, status

MIB = 1 << 20
EACH_SECOND = "a second"


class Curve(NamedTuple):
    name: str
    title: str
    x: str              # what the axes say
    y: str
    logarithmic: bool
    points: list        # of dicts: "x", figures by their names, "memory" in bytes


class Growth:
    def __init__(self, scratch, program, transport, seconds, rounds):
        self.scratch, self.program, self.transport, self.rounds = scratch, program, transport, rounds
        self.conditions = Conditions(scratch.folder("tmpfs", "logs"), seconds, at_most=60)
        self.path = scratch.memory / "growth.img"

    @contextlib.contextmanager
    def served(self, image, view="snapshot", snapshots=1):
        folder = self.scratch.folder("tmpfs", "growth")
        dmsnap = Dmsnap("dmsnap", self.program, self.transport, view, snapshots)
        with dmsnap.serve(image, folder) as file:
            yield file, lambda: self.memory(folder / "d")
        (folder / "log").unlink()
        folder.rmdir()

    def memory(self, mount):
        return resident_bytes(status(self.program, mount)["pid"])

    def random(self, size):
        write_random(self.path, size)
        return self.path

    def hole(self, size):
        self.path.write_bytes(b"")
        os.truncate(self.path, size)
        return self.path

    def reads(self, file):
        return statistics.median(RandomReads(PSYNC).run(file, self.conditions).rate for _ in range(self.rounds))

    def against_snapshots(self):
        image = self.random(GIB // 8)
        for count in (1, 2, 4, 8, 16, 32, 64):
            with self.served(image, "origin", count) as (origin, memory):
                yield {"x": count, "first writes to the origin": Replay(one_in_each_region).run(origin, self.conditions).rate,
                       "reads of a snapshot": self.reads(origin.parent / "snapshots" / "snap0"), "memory": memory()}

    def against_fill(self):
        image = self.random(GIB // 2)
        for percent in (0, 10, 25, 50, 75, 90, 100):
            with self.served(image) as (snapshot, memory):
                written = image.stat().st_size // 100 * percent >> 12 << 12
                point = {"x": percent}
                if written:
                    write_at_random(snapshot, DEPTH_16, written)
                    # The same seed: the same blocks.
                    point["overwrites"] = write_at_random(snapshot, PSYNC, written, f"--runtime={self.conditions.seconds}")
                yield point | {"reads": self.reads(snapshot), "memory": memory()}

    def against_size(self):
        for exponent in range(14):
            size = GIB << exponent
            with self.served(self.hole(size)) as (snapshot, memory):
                first = write_at_random(snapshot, PSYNC, 512 * MIB, "--norandommap", "--random_generator=tausworthe64")
                yield {"x": size / GIB, "first writes": first, "reads": self.reads(snapshot), "memory": memory()}

    def reads_against_exceptions(self):
        for count, snapshot, _ in self.attached():
            yield {"x": count, "reads": self.reads(snapshot), "memory": self.memory(snapshot.parents[1])}

    def mount_against_exceptions(self):
        for count, snapshot, seconds in self.attached():
            yield {"x": count, "mount and read a byte": seconds, "memory": self.memory(snapshot.parents[1])}

    def attached(self):
        """Stores that have headers and areas only; of data there are holes."""
        build = self.program.resolve().parents[2]
        run("ninja", "-C", build, "test/metadata_bench")
        for exponent in range(3, 9):
            cow = self.scratch.memory / "many.cow"
            image = self.hole(int(run(build / "test" / "metadata_bench", "make", 10 ** exponent / 1e6, cow)))
            mount = self.scratch.folder("tmpfs", "attached")
            begin = time.monotonic()
            run(self.program, "mount", "--transport", self.transport, "--store", mount.with_suffix(".store"),
                "--attach", f"snap={cow}", image, mount)
            snapshot = mount / "snapshots" / "snap"
            with open(snapshot, "rb") as file:
                file.read(1)
            yield 10 ** exponent, snapshot, time.monotonic() - begin
            unmount(self.program, "umount", mount)
            mount.rmdir()
            shutil.rmtree(mount.with_suffix(".store"))
            cow.unlink()

    def curves(self):
        """A name, how it is drawn, and what makes its points."""
        return [
            ("snapshots", "Number of snapshots of a 128 MiB origin", "snapshots", EACH_SECOND, True, self.against_snapshots),
            ("fill", "How much of a 512 MiB snapshot is copied, at random", "per cent", EACH_SECOND, False, self.against_fill),
            ("size", "Size of a sparse image with 131 072 random exceptions", "GiB", EACH_SECOND, True, self.against_size),
            ("exceptions", "Random exceptions in a store", "exceptions", EACH_SECOND, True, self.reads_against_exceptions),
            ("mount", "Mounting a store of random exceptions", "exceptions", "seconds", True, self.mount_against_exceptions),
        ]

    def measure(self, only):
        for name, title, x, y, logarithmic, points in self.curves():
            if only in name:
                measured = []
                for point in points():
                    print(name, " ".join(f"{key}={value:.4g}" for key, value in point.items()), flush=True)
                    measured.append(point)
                yield Curve(name, title, x, y, logarithmic, measured)


def write_at_random(file, engine, count_bytes, *options):
    return fio(file, [f"--filename={file}", "--direct=1", "--rw=randwrite", "--bs=4k", "--end_fsync=1",
                      f"--io_size={count_bytes}", *options, *engine], [[]]).rate


def memory_per_exception(scratch, program, transport, count):
    """Growth of the daemon's resident size for each of `count` random exceptions, in bytes."""
    growth = Growth(scratch, program, transport, seconds=1, rounds=1)
    with growth.served(growth.hole(count * 8192 + GIB)) as (snapshot, memory):
        # The first writes fill buffers that stay: they belong to the program, not to the exceptions.
        write_at_random(snapshot, DEPTH_16, 16 * MIB, f"--offset={count * 8192}")
        before = memory()
        write_at_random(snapshot, DEPTH_16, count * 4096, f"--size={count * 8192}")
        return (memory() - before) / count
