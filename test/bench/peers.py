# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that show a raw image as a file that can be written without losing what the image was.

A peer serves an image from a folder of its own: `with peer.serve(image, folder) as file` is the file to work on. Where it
keeps changes apart the file is an overlay of the image ("snapshot"), else the image's own successor ("origin").
"""
import contextlib
import json
import shutil
import subprocess
import sys

from machine import GIB, end, run, unmount, wait_for

LARGEST_IMAGE_BYTES = GIB


class Peer:
    """What all have."""

    keeps_changes = True  # apart from the image, or it locks the image: it needs one that nobody else uses
    direct = True         # how its file is opened

    def __init__(self, name):
        self.name = name

    def image_bytes(self):
        return LARGEST_IMAGE_BYTES

    def can_serve(self):
        return True

    def check_written(self, folder, count):
        """After writes to `count` blocks that were never written, and an fsync. Nothing is asked of other programs."""


def status(program, mount):
    return json.loads(run(program, "status", "--json", mount))


class Dmsnap(Peer):
    def __init__(self, name, program, transport, view="snapshot", snapshots=1, layout=None):
        super().__init__(name)
        self.program, self.transport, self.view, self.layout = program, transport, view, layout
        self.snapshots = [f"snap{number}" for number in range(snapshots)]

    def image_bytes(self):
        return min(LARGEST_IMAGE_BYTES, 8 * GIB // (len(self.snapshots) + 1)) >> 20 << 20

    def can_serve(self):
        return self.layout is None or "--layout" in run(self.program, "create", "--help")

    @contextlib.contextmanager
    def serve(self, image, folder):
        mount, store = folder / "d", folder / "store"
        mount.mkdir()
        run(self.program, "mount", "--transport", self.transport, "--store", store, "--log-file", folder / "log", image, mount)
        for snapshot in self.snapshots:
            run(self.program, "create", *(["--layout", self.layout] if self.layout else []), mount, snapshot)
        yield mount / "origin" if self.view == "origin" else mount / "snapshots" / "snap0"
        unmount(self.program, "umount", mount)
        mount.rmdir()
        shutil.rmtree(store)

    def check_written(self, folder, count):
        """Nothing is held any more, and the COW files have every exception. They are in use, so copies of them are read."""
        held = status(self.program, folder / "d")["held_bytes"]
        if held:
            sys.exit(f"{self.name}: {held} bytes are held after an fsync")
        changed = self.snapshots if self.layout is None else self.snapshots[-1:]
        for snapshot in changed:
            copy = folder / "copy.cow"
            run("cp", "--sparse=always", folder / "store" / f"{snapshot}.cow", copy)
            found = int(run(self.program, "dump", copy).splitlines()[-1].removeprefix("end "))
            copy.unlink()
            if found != count:
                sys.exit(f"{self.name}: {snapshot} has {found} exceptions after {count} first writes and an fsync")


class QemuOverlay(Peer):
    """A qcow2 overlay over the image, by qemu-storage-daemon's FUSE export in its main loop."""

    def __init__(self, name, *create_options):
        super().__init__(name)
        self.create_options = create_options

    @contextlib.contextmanager
    def serve(self, image, folder):
        overlay = folder / "overlay.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", *self.create_options, "-F", "raw", "-b", image, overlay)
        with qemu_export(folder, image.stat().st_size, "disk", [
                f"driver=file,node-name=file,filename={overlay}", "driver=qcow2,node-name=disk,file=file"]) as file:
            yield file
        overlay.unlink()


class QemuCopyBeforeWrite(Peer):
    """The image itself, under qemu's copy-before-write filter; what was there before can be read at a second export."""

    @contextlib.contextmanager
    def serve(self, image, folder):
        target, before = folder / "target.qcow2", folder / "before"
        run("qemu-img", "create", "-q", "-f", "qcow2", target, image.stat().st_size)
        before.touch()
        with qemu_export(folder, image.stat().st_size, "filter", [
                f"driver=file,node-name=disk,filename={image}", f"driver=file,node-name=file,filename={target}",
                "driver=qcow2,node-name=target,file=file",
                "driver=copy-before-write,node-name=filter,file=disk,target=target",
                "driver=snapshot-access,node-name=access,file=filter"],
                         "--export", f"type=fuse,id=before,node-name=access,mountpoint={before}") as file:
            yield file
        target.unlink()


@contextlib.contextmanager
def qemu_export(folder, size, node, blockdevs, *more):
    file = folder / "shown"
    file.touch()
    words = [word for blockdev in blockdevs for word in ("--blockdev", blockdev)]
    daemon = subprocess.Popen(["qemu-storage-daemon", *words, *more, "--export",
                               f"type=fuse,id=export,node-name={node},mountpoint={file},writable=on"])
    try:
        wait_for(lambda: file.stat().st_size == size, "qemu-storage-daemon", daemon)
        yield file
    finally:
        end(daemon)


class Nbdkit(Peer):
    @contextlib.contextmanager
    def serve(self, image, folder):
        mount = folder / "n"
        mount.mkdir()
        daemon = subprocess.Popen(["nbdfuse", mount / "disk", "[", "nbdkit", "--filter=cow", "file", image, "]"],
                                  env={"PATH": "/usr/sbin:/usr/bin", "TMPDIR": str(folder)})
        try:
            wait_for(lambda: (mount / "disk").exists(), "nbdfuse", daemon)
            yield mount / "disk"
            unmount("fusermount3", "-u", mount)
            daemon.wait()
        finally:
            end(daemon)
        mount.rmdir()


class Xmount(Peer):
    @contextlib.contextmanager
    def serve(self, image, folder):
        mount, cache = folder / "x", folder / "cache"
        mount.mkdir()
        run("xmount", "--in", "raw", image, "--out", "raw", "--cache", cache, mount)
        yield mount / f"{image.stem}.dd"
        unmount("umount", mount)
        mount.rmdir()
        cache.unlink()


def peers(program, transport):
    """By name."""
    every = [
        Dmsnap("dmsnap", program, transport),
        Dmsnap("dmsnap origin", program, transport, view="origin"),
        Dmsnap("dmsnap origin, 16 snapshots", program, transport, view="origin", snapshots=16),
        Dmsnap("dmsnap origin, 16 chained", program, transport, view="origin", snapshots=16, layout="chained"),
        Dmsnap("dmsnap origin, 1 chained", program, transport, view="origin", layout="chained"),
        QemuOverlay("qemu"),
        QemuOverlay("qemu 4 KiB clusters", "-o", "cluster_size=4k"),
        QemuCopyBeforeWrite("qemu copy-before-write"),
        Nbdkit("nbdkit cow"),
        Xmount("xmount"),
    ]
    return {peer.name: peer for peer in every}
