# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine: commands, what must be installed and free, and a scratch folder that goes with all that is mounted in it."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
GIB = 1 << 30
MEMORY_BYTES = 10 * GIB
DISK_BYTES = 30 * GIB


def run(*words, **options):
    """What the command prints; it succeeds, or this fails with what it said."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def require_packages(*packages):
    script = f'. {PROJECT}/packaging/packages.sh && require_packages "$@"'
    subprocess.run(["bash", "-c", script, "bench", *packages], check=True)


def bench_packages():
    return run("bash", "-c", f'. {PROJECT}/packaging/packages.sh && echo "${{bench_packages[@]}}"').split()


def require_room(memory_bytes, disk, disk_bytes):
    fields = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    if available < memory_bytes:
        sys.exit(f"{memory_bytes / GIB:.1f} GiB of memory are needed, {available / GIB:.1f} are available")
    free = shutil.disk_usage(disk).free
    if free < disk_bytes:
        sys.exit(f"{disk_bytes / GIB:.1f} GiB are needed in {disk}, {free / GIB:.1f} are free")


def wait_for(true, what, daemon=None, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        if daemon is not None and daemon.poll() is not None:
            sys.exit(f"{what}: the daemon has ended")
        if time.monotonic() > end:
            sys.exit(f"{what}: not there after {seconds} s")
        time.sleep(0.01)


def unmount(*words):
    """The kernel lets go of what was open in an io_uring only a moment after the program's end: until then it is busy."""
    wait_for(lambda: subprocess.run([str(word) for word in words], stderr=subprocess.DEVNULL, check=False).returncode == 0,
             " ".join(map(str, words)))


def end(daemon):
    daemon.terminate()
    daemon.wait()


def mounts_below(folder):
    """The newest first."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in open("/proc/self/mountinfo", encoding="utf-8")]
    return [point for point in reversed(points) if point == str(folder) or point.startswith(f"{folder}/")]


def detach_loops(folder):
    for loop in json.loads(run("losetup", "--json", "--list") or '{"loopdevices": []}')["loopdevices"]:
        if loop["back-file"].startswith(f"{folder}/"):
            run("losetup", "-d", loop["name"])


def resident_bytes(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class Scratch:
    """A folder on a tmpfs and one on a disk. Both go at the end, with mounts, loop devices and files, however it comes."""

    def __init__(self, disk):
        self.memory = pathlib.Path(tempfile.mkdtemp(prefix="dmsnap-bench."))
        self.disk = pathlib.Path(tempfile.mkdtemp(prefix="dmsnap-bench.", dir=disk))

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit("ended by a signal"))
        run("mount", "-t", "tmpfs", "-o", f"size={MEMORY_BYTES}", "bench", self.memory)
        return self

    def __exit__(self, *_):
        for folder in (self.memory, self.disk):
            for point in mounts_below(folder):
                if point != str(self.memory):
                    subprocess.run(["umount", "-l", "-i", point], check=False)
            detach_loops(folder)
        subprocess.run(["umount", "-l", self.memory], check=False)
        self.memory.rmdir()
        shutil.rmtree(self.disk, ignore_errors=True)

    def folder(self, place, name):
        made = (self.disk if place == "disk" else self.memory) / name
        made.mkdir(parents=True)
        return made


class Setting:
    """A setting of the kernel, for as long as it is entered. None where the kernel does not have it."""

    def __init__(self, path, value):
        self.path, self.value = pathlib.Path(path), value

    def __enter__(self):
        self.before = self.path.read_text().strip() if self.path.exists() else None
        if self.before is not None:
            self.path.write_text(self.value)
        return self.before

    def __exit__(self, *_):
        if self.before is not None:
            self.path.write_text(self.before)


class Awake:
    """Keeps every processor from halting: in a virtual machine it takes longer to wake a halted processor than to answer a
    request, and what would be measured is the hypervisor. The kernel polls where it would halt while somebody asks for no
    latency at all (Documentation/power/pm_qos_interface.rst); without a cpuidle driver that changes nothing. A loop at idle
    priority would do the same, but a thread that has just used its processor can wait a tick for such a loop."""

    def __enter__(self):
        self.request = open("/dev/cpu_dma_latency", "wb", buffering=0)  # pylint: disable=consider-using-with
        self.request.write(bytes(4))

    def __exit__(self, *_):
        self.request.close()


@contextlib.contextmanager
def set_up(disk, over_io_uring):
    """The scratch folders, on a machine where every wake-up counts the same. Without groups by session, since a daemon, which
    has a session of its own, would wait up to 4 ms for whoever runs in another."""
    with Setting("/sys/module/fuse/parameters/enable_uring", "Y" if over_io_uring else "N") as has_uring, \
            Setting("/proc/sys/kernel/sched_autogroup_enabled", "0"), Scratch(disk) as scratch, Awake():
        if over_io_uring and has_uring is None:
            sys.exit("this kernel has no FUSE over io_uring")
        yield scratch


def write_random(path, size):
    with open(path, "wb") as file:
        for done in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - done)))
