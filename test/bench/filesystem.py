# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads on an ext4 that is loop-mounted from a file."""
import contextlib
import io
import os
import pathlib
import random
import subprocess
import tarfile
import tempfile
import time

from loads import PSYNC, Figure, fio
from machine import run

IMAGE_BYTES = 2 << 30
FILE_BYTES = 256 << 20
FILE_COUNT = 50_000


@contextlib.contextmanager
def mounted(file, options="loop"):
    with tempfile.TemporaryDirectory(prefix="mounted.") as folder:
        run("mount", "-o", options, file, folder)
        try:
            yield pathlib.Path(folder)
        finally:
            run("umount", folder)


def make_image(path):
    """An ext4 with one large file in it."""
    path.touch()
    os.truncate(path, IMAGE_BYTES)
    run("mkfs.ext4", "-q", "-F", path)
    with mounted(path) as folder:
        run("dd", "if=/dev/urandom", f"of={folder / 'file'}", "bs=1M", f"count={FILE_BYTES >> 20}")


def make_archive(path):
    """Files of up to 8 KiB in 500 folders."""
    chance = random.Random(9)
    content = chance.randbytes(1 << 20)
    with tarfile.open(path, "w") as archive:
        for number in range(FILE_COUNT):
            entry = tarfile.TarInfo(f"{number % 500}/{number}")
            entry.size = chance.randrange(8192)
            begin = chance.randrange(len(content) - entry.size)
            archive.addfile(entry, io.BytesIO(content[begin:begin + entry.size]))


class Timed:
    """The rate is in whole runs a second."""

    def __enter__(self):
        self.begin = time.monotonic()
        return self

    def __exit__(self, *_):
        self.figure = Figure(rate=1 / (time.monotonic() - self.begin))


class FsyncedOverwrites:
    """4 KiB at random places of the file, with an fsync each 8 writes; before it the file and, since its data goes through it,
    the journal are overwritten once, or not."""

    def __init__(self, overwritten_before=False):
        self.overwritten_before = overwritten_before

    def run(self, file, _):
        if self.overwritten_before:
            with mounted(file, "loop,data=journal") as folder:
                run("dd", "if=/dev/urandom", f"of={folder / 'file'}", "bs=1M", f"count={FILE_BYTES >> 20}",
                    "conv=notrunc,fsync")
        with mounted(file) as folder:
            return fio(folder / "file", [f"--filename={folder / 'file'}", "--rw=randwrite", "--bs=4k", "--fsync=8",
                                         "--end_fsync=1", "--io_size=16m", *PSYNC], [[]])


class Unpack:
    def run(self, file, conditions):
        archive = conditions.logs / "tree.tar"
        if not archive.exists():
            make_archive(archive)
        with mounted(file) as folder:
            (folder / "tree").mkdir()
            with Timed() as timed:
                run("tar", "xf", archive, "-C", folder / "tree")
                run("sync", "-f", folder)
        return timed.figure


class FindAndSum:
    """Of what was unpacked, with nothing in the page cache."""

    def run(self, file, _):
        with mounted(file) as folder:
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
            with Timed() as timed:
                subprocess.run(f"find {folder}/tree -type f -print0 | xargs -0 sha256sum", shell=True, check=True,
                               stdout=subprocess.DEVNULL)
        return timed.figure
