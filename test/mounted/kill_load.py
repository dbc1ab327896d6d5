# SPDX-License-Identifier: GPL-2.0-or-later
"""The load of killed.sh, and what must be true after it. Every 512-byte sector of a file under test says which sector it
is and which write of the load wrote it.

  init IMAGE                            every sector written by write 0
  freeze MOUNT SNAPSHOT STATE           records what the next snapshot must show for ever
  adopt MOUNT SNAPSHOT STATE            the next snapshot is written by the load, instead of the one before
  load MOUNT STATE SEED PID             writes origin and snapshot, flushes, and kills the daemon at a random moment
  verify MOUNT STATE                    everything flushed is there, nothing that was never written, snapshots are exact
"""
import array
import itertools
import os
import pathlib
import pickle
import random
import signal
import struct
import sys
import threading
import time

SECTOR = 512


def stamp(sector, write):
    return struct.pack("<QQ", sector, write) * (SECTOR // 16)


def stamps_of(path):
    """The number of the write in each sector; every byte of it is checked."""
    with open(path, "rb") as file:
        data = array.array("Q", file.read())
    if sys.byteorder == "big":
        data.byteswap()
    words = SECTOR // 8
    writes = data[1::words]
    sectors = array.array("Q", range(len(writes)))
    for word in range(words):
        wanted, found = writes if word % 2 else sectors, data[word::words]
        if found != wanted:
            sector = next(s for s in sectors if found[s] != wanted[s])
            sys.exit(f"{path}: sector {sector} holds something that was never written there")
    return list(writes)


class Written:
    """A file that the load writes: the last flushed write of each sector, and what was issued since."""

    def __init__(self, flushed=()):
        self.flushed, self.issued = dict(flushed), {}

    def flush(self):
        for sector, writes in self.issued.items():
            self.flushed[sector] = writes[-1]
        self.issued.clear()

    def verify(self, mount, name):
        for sector, write in enumerate(stamps_of(f"{mount}/{name}")):
            allowed = [self.flushed.get(sector, 0), *self.issued.get(sector, [])]
            if write not in allowed:
                sys.exit(f"{name}: sector {sector} holds write {write}, not one of {allowed}")
            # What was found after the crash is where the next round starts from.
            self.flushed[sector] = write
        self.issued.clear()


class State:
    """The files that are written, by name, and the number of the next write."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "writes"
        self.files, self.next = {"origin": Written()}, 1
        if self.path.exists():
            self.files, self.next = pickle.loads(self.path.read_bytes())

    def save(self):
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_bytes(pickle.dumps((self.files, self.next)))


def init(image):
    with open(image, "r+b") as file:
        for sector in range(os.path.getsize(image) // SECTOR):
            file.write(stamp(sector, 0))


def freeze(mount, snapshot, folder):
    pathlib.Path(folder).mkdir(exist_ok=True)
    content = stamps_of(f"{mount}/origin")
    (pathlib.Path(folder) / f"frozen.{snapshot}").write_bytes(pickle.dumps(content))


def adopt(mount, snapshot, folder):
    state = State(folder)
    content = stamps_of(f"{mount}/origin")
    state.files = {"origin": state.files["origin"], f"snapshots/{snapshot}": Written(enumerate(content))}
    state.save()


def write_until_killed(path, written, numbers, rng):
    file = os.open(path, os.O_RDWR)
    sectors = os.fstat(file).st_size // SECTOR
    try:
        while True:
            count = rng.choice([1, 8, 8, 8, 64, 300])
            first = rng.randrange(sectors - count)
            if rng.random() < 0.7:
                first = first // 8 * 8
            write = next(numbers)
            for sector in range(first, first + count):
                written.issued.setdefault(sector, []).append(write)
            os.pwrite(file, b"".join(stamp(s, write) for s in range(first, first + count)), first * SECTOR)
            if rng.random() < 0.05:
                os.fsync(file)
                written.flush()
    except OSError:
        pass
    try:
        os.close(file)
    except OSError:
        pass  # there is nobody left to tell


def load(mount, folder, seed, pid):
    rng = random.Random(int(seed))
    delay = rng.uniform(0.005, 0.25)
    state = State(folder)
    numbers = itertools.count(state.next)
    writers = [
        threading.Thread(
            target=write_until_killed,
            args=(f"{mount}/{name}", written, numbers, random.Random(rng.random())),
            daemon=True,  # none holds up the end of a load that failed
        )
        for name, written in state.files.items()
    ]
    for writer in writers:
        writer.start()
    time.sleep(delay)
    os.kill(int(pid), signal.SIGKILL)
    for writer in writers:
        writer.join()
    state.next = next(numbers)
    state.save()


def verify(mount, folder):
    state = State(folder)
    for name, written in state.files.items():
        written.verify(mount, name)
    state.save()
    for frozen in pathlib.Path(folder).glob("frozen.*"):
        name = frozen.name.removeprefix("frozen.")
        wanted, found = pickle.loads(frozen.read_bytes()), stamps_of(f"{mount}/snapshots/{name}")
        for sector, (want, got) in enumerate(zip(wanted, found, strict=True)):
            if want != got:
                sys.exit(f"snapshot {name}: sector {sector} holds write {got}, not {want}")


if __name__ == "__main__":
    {"init": init, "freeze": freeze, "adopt": adopt, "load": load, "verify": verify}[sys.argv[1]](*sys.argv[2:])
