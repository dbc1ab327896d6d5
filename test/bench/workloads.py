# SPDX-License-Identifier: GPL-2.0-or-later
"""The workloads by name, and what they need to find."""
import dataclasses

import filesystem
from loads import DEPTH_16, CatAgain, RandomReads, Replay, Sequential, anywhere, half, half_again, one_in_each_region


@dataclasses.dataclass(frozen=True)
class Workload:
    """What is copied before ("nothing", "half" of the 4 KiB blocks at random, "all" sequentially; or "files": an ext4), and
    then done.

    Workloads of one session are run one after the other on the same mount. A session that leaves the file as it was can be
    repeated on it; others begin anew for each round.
    """

    name: str
    work: object
    prepared: str
    session: str
    repeatable: bool


def repeatable(name, work, prepared):
    return Workload(name, work, prepared, session=prepared, repeatable=True)


def first_writes(name, work):
    return Workload(name, work, "nothing", session=name, repeatable=False)


def on_files(name, work):
    return Workload(name, work, "files", session="files", repeatable=False)


WORKLOADS = {workload.name: workload for workload in [
    repeatable("random read", RandomReads(), "half"),
    repeatable("random overwrite", Replay(half_again), "half"),
    repeatable("random read, 16x2", RandomReads(DEPTH_16, 2), "half"),
    repeatable("random overwrite, 16x2", Replay(half_again, DEPTH_16, 2), "half"),
    repeatable("sequential read of a random half", Sequential("read"), "half"),
    repeatable("sequential read", Sequential("read"), "all"),
    repeatable("sequential overwrite", Sequential("write"), "all"),
    repeatable("file read again", CatAgain(), "nothing"),
    first_writes("sequential first write", Sequential("write")),
    first_writes("first writes", Replay(one_in_each_region)),
    first_writes("first writes, 16x2", Replay(one_in_each_region, DEPTH_16, 2)),
    first_writes("512 MiB of first writes", Replay(anywhere)),
    first_writes("first writes, fsync each 256", Replay(one_in_each_region, fsync_each=256)),
    first_writes("first writes, fsync each 8", Replay(one_in_each_region, fsync_each=8)),
    first_writes("first writes, fsync each", Replay(one_in_each_region, fsync_each=1)),
    on_files("fsynced first overwrites of a file", filesystem.FsyncedOverwrites()),
    on_files("fsynced overwrites of a file", filesystem.FsyncedOverwrites(overwritten_before=True)),
    on_files("unpack 50 000 files", filesystem.Unpack()),
    on_files("find and sha256sum", filesystem.FindAndSum()),
]}


def prepare(file, prepared, conditions):
    unhurried = dataclasses.replace(conditions, at_most=600)
    if prepared == "half":
        Replay(half, DEPTH_16).run(file, unhurried)
    elif prepared == "all":
        Sequential("write").run(file, unhurried)
