# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows: what is set against what, and the ratio to reach."""
import dataclasses
from typing import NamedTuple

from limits import null_names

TRANSPORTS = ("dev-fuse", "io_uring")


class Cell(NamedTuple):
    """What is measured once for each round."""

    peer: str
    workload: str
    place: str = "tmpfs"


@dataclasses.dataclass(frozen=True)
class Contest:
    row: str
    subject: Cell
    references: tuple[Cell, ...]   # the fastest of them counts
    target: float                  # of the ratio subject / reference
    figure: str = "rate"           # or "p999", which is to be no more than the target
    of_tmpfs: bool = False         # the target is this share of the same contest's ratio on tmpfs

    def cells(self):
        return (self.subject, *self.references)


def against(row, subject, workload, references, target, place="tmpfs", **more):
    return Contest(row, Cell(subject, workload, place), tuple(Cell(name, workload, place) for name in references), target, **more)


READS_AND_OVERWRITES = {
    "a": [("random read", (1.5, 2.1))],
    "b": [("random overwrite", (1.5, 2.1))],
    "e": [("random read, 16x2", (1.7, 2.6)), ("random overwrite, 16x2", (1.7, 2.6))],
    "f": [("sequential read", (1.5, 1.8)), ("sequential overwrite", (1.0, 1.1)), ("sequential first write", (2.5, 2.5))],
}
SMALL_CLUSTERS = "qemu 4 KiB clusters"
OTHERS = ("nbdkit cow", "xmount")
ORIGIN = "dmsnap origin"
MANY = "dmsnap origin, 16 snapshots"


def reads_and_overwrites(transport, null):
    for row, contents in READS_AND_OVERWRITES.items():
        for workload, targets in contents:
            yield against(row, "dmsnap", workload, ["qemu"], targets[transport])
            yield against("g", "dmsnap", workload, null, 0.93)
            for other in OTHERS:
                yield against(row, "dmsnap", workload, [other], 1.0)
    yield against("g", "dmsnap", "sequential read of a random half", null, 0.5)


def first_writes(transport):
    """To a snapshot, and to the origin."""
    to_snapshot = [("first writes", "qemu", (8, 10)), ("512 MiB of first writes", "qemu", (1.5, 1.5)),
                   ("first writes", SMALL_CLUSTERS, (2, 3)), ("512 MiB of first writes", SMALL_CLUSTERS, (1.5, 1.5))]
    to_origin = [("first writes", (2.4, 3.2)), ("first writes, 16x2", (3, 4)), ("512 MiB of first writes", (1.5, 1.5))]
    for workload, reference, targets in to_snapshot:
        yield against("c", "dmsnap", workload, [reference], targets[transport])
    for workload, targets in to_origin:
        yield against("d", ORIGIN, workload, ["qemu copy-before-write"], targets[transport])
    for other in OTHERS:
        yield against("c", "dmsnap", "first writes", [other], 1.0)
        yield against("d", ORIGIN, "first writes", [other], 1.0)
    yield against("c", "dmsnap", "first writes", ["qemu"], 3, figure="p999")
    yield against("d", ORIGIN, "first writes", ["qemu copy-before-write"], 3, figure="p999")
    for reference in ("qemu", SMALL_CLUSTERS):
        yield against("c", "dmsnap", "first writes", [reference], 0.7, place="disk", of_tmpfs=True)
    yield against("d", ORIGIN, "first writes", ["qemu copy-before-write"], 0.7, place="disk", of_tmpfs=True)


def own_ratios():
    """dmsnap against itself."""
    overwrite = (Cell("dmsnap", "random overwrite"),)
    yield Contest("h", Cell("dmsnap", "first writes"), overwrite, 0.6)
    yield Contest("h", Cell(ORIGIN, "first writes"), overwrite, 0.5)
    for many, one, target in ((MANY, ORIGIN, 0.3), ("dmsnap origin, 16 chained", "dmsnap origin, 1 chained", 0.85)):
        yield against("k", many, "first writes", [one], target)
        yield against("k", many, "first writes", [one], 0.7, place="disk", of_tmpfs=True)


def on_disk(transport):
    raw = ["raw file", "raw file, buffered"]
    for workload, target in (("fsync each 256", 0.55), ("fsync each 8", 0.4), ("fsync each", 0.25)):
        yield against("j", ORIGIN, f"first writes, {workload}", raw, target, place="disk")
    for row, workload, targets in (("i1", "unpack 50 000 files", (0.7, 0.75)), ("i1", "find and sha256sum", (0.8, 0.9)),
                                   ("i2", "fsynced overwrites of a file", (0.8, 0.9)),
                                   ("i3", "fsynced first overwrites of a file", (0.4, 0.4))):
        yield against(row, ORIGIN, workload, ["raw file"], targets[transport], place="disk")


def contests(transport):
    number = TRANSPORTS.index(transport)
    every = [*reads_and_overwrites(number, null_names(transport)), *first_writes(number), *own_ratios(), *on_disk(number)]
    every += [against("l", subject, "file read again", ["raw file"], 0.9) for subject in ("dmsnap", ORIGIN)]
    return sorted(every, key=lambda contest: contest.row)
