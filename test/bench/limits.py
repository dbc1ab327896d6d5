# SPDX-License-Identifier: GPL-2.0-or-later
"""What no program of this kind can pass: FUSE that does nothing (the null limit), and the image with no FUSE at all.

The null limit is libfuse's own example passthrough_ll, built here: over /dev/fuse from the examples of Debian's
libfuse3-dev, over io_uring from the source that `-Dfuse=bundled` uses. It has one file, the image in its place.
"""
import contextlib
import shlex
import shutil
import subprocess
import sys

from machine import PROJECT, end, run, unmount, wait_for
from peers import Peer

# Each is tried; the fastest is the limit.
NULL_FORMS = {
    "dev-fuse": {"null, one thread": ["-s"], "null, default pool": [], "null, clone_fd": ["-o", "clone_fd"]},
    "io_uring": {"null, io_uring": ["-o", "io_uring"], "null, io_uring, 64 deep": ["-o", "io_uring,io_uring_q_depth=64"]},
}


def null_names(transport):
    return list(NULL_FORMS[transport])


class Limit(Peer):
    """Writes go to the image."""

    keeps_changes = False


class NullLimit(Limit):
    def __init__(self, name, program, options):
        super().__init__(name)
        self.program, self.options = program, options

    @contextlib.contextmanager
    def serve(self, image, folder):
        mount, shown = folder / "l", folder / "shown"
        mount.mkdir()
        shown.mkdir()
        (shown / "disk.img").hardlink_to(image)
        with open(folder / "log", "w", encoding="utf-8") as log:
            daemon = subprocess.Popen([self.program, "-f", "-o", f"source={shown}", *self.options, mount], stderr=log)
        try:
            wait_for(lambda: (mount / "disk.img").exists(), "passthrough_ll", daemon)
            yield mount / "disk.img"
            unmount("umount", mount)
        finally:
            end(daemon)
        shutil.rmtree(shown)
        mount.rmdir()


class RawFile(Limit):
    def __init__(self, name, direct=True):
        super().__init__(name)
        self.direct = direct

    @contextlib.contextmanager
    def serve(self, image, folder):
        yield image


def build_null(transport):
    """The program, built once in the project's build directory."""
    built = PROJECT / "build" / "bench" / transport
    program = built / "passthrough_ll"
    if program.exists():
        return program
    built.mkdir(parents=True, exist_ok=True)
    if transport == "dev-fuse":
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", "fuse3"))
        run("gcc", "-O2", "-w", "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c", "-o", program, *flags)
        return program
    run(PROJECT / "packaging" / "fetch-fuse")
    wrap = (PROJECT / "subprojects" / "fuse3.wrap").read_text()
    name = next(line.split(" = ")[1] for line in wrap.splitlines() if line.startswith("directory"))
    run("tar", "xf", PROJECT / "subprojects" / "packagecache" / f"{name}.tar.gz", "-C", built)
    run("meson", "setup", built / "build", built / name, "-Dbuildtype=release", "-Ddefault_library=static", "-Dutils=false",
        "-Dtests=false", "-Denable-io-uring=true")
    run("ninja", "-C", built / "build", "-j1", "example/passthrough_ll")
    if "io_uring" not in run(built / "build" / "example" / "passthrough_ll", "--help"):
        sys.exit("libfuse was built without io_uring")
    (built / "build" / "example" / "passthrough_ll").rename(program)
    return program


def limits(transport):
    """By name."""
    null = build_null(transport)
    every = [NullLimit(name, null, options) for name, options in NULL_FORMS[transport].items()]
    every += [RawFile("raw file"), RawFile("raw file, buffered", direct=False)]
    return {limit.name: limit for limit in every}
