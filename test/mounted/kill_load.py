# SPDX-License-Identifier: GPL-2.0-or-later
"""The load of killed.sh, and what must be true after it. Every 512-byte sector of a file under test says which sector it
is and which write of the load wrote it.

  init IMAGE                            every sector written by write 0
  freeze MOUNT SNAPSHOT STATE           records what the next snapshot must show for ever
  adopt MOUNT SNAPSHOT STATE            the next snapshot is written by the load, instead of the one before
  rolled_back SNAPSHOT STATE            the origin is now what the snapshot was, which is no more
  load MOUNT STATE SEED PID             writes origin and snapshot, flushes, and kills the daemon at a random moment
  verify MOUNT STATE                    everything flushed is there, nothing that was never written, snapshots are exact
"""
import itertools
import os
import pathlib
import pickle
import random
import shutil
import signal
import struct
import sys
import threading
import time

SECTOR = 512
PIECE = 1 << 20


def stamp(sector, write):
    return struct.pack("<QQ", sector, write) * (SECTOR // 16)


def pieces_of(path):
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(PIECE):
            yield piece


def stamps_of(path):
    """The number of the write in each sector; every byte of it is checked."""
    writes = []
    for piece in pieces_of(path):
        heads = [piece[at : at + 16] for at in range(0, len(piece), SECTOR)]
        numbers = struct.unpack(f"<{2 * len(heads)}Q", b"".join(heads))
        first = len(writes)
        if numbers[::2] != tuple(range(first, first + len(heads))) or b"".join([head * 32 for head in heads]) != piece:
            sector = next(i for i, write in enumerate(numbers[1::2])
                          if piece[i * SECTOR : (i + 1) * SECTOR] != stamp(first + i, write))
            sys.exit(f"{path}: sector {first + sector} holds something that was never written there")
        writes += numbers[1::2]
    return writes


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
            flushed = self.flushed.get(sector, 0)
            if write != flushed and write not in self.issued.get(sector, []):
                allowed = [flushed, *self.issued.get(sector, [])]
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
    shutil.copyfile(f"{mount}/origin", pathlib.Path(folder) / f"frozen.{snapshot}")


def adopt(mount, snapshot, folder):
    state = State(folder)
    content = stamps_of(f"{mount}/origin")
    state.files = {"origin": state.files["origin"], f"snapshots/{snapshot}": Written(enumerate(content))}
    state.save()


def rolled_back(snapshot, folder):
    state = State(folder)
    frozen = pathlib.Path(folder) / f"frozen.{snapshot}"
    if frozen.exists():
        state.files["origin"] = Written(enumerate(stamps_of(frozen)))
        frozen.unlink()
    else:
        state.files["origin"] = state.files.pop(f"snapshots/{snapshot}")
    state.save()


def write_until_killed(file, written, numbers, rng):
    try:
        sectors = os.fstat(file).st_size // SECTOR
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


def first_difference(wanted, found):
    for sector, (want, got) in enumerate(itertools.zip_longest(wanted, found)):
        if want != got:
            return f"sector {sector} holds write {got}, not {want}"
    return "its content changes while it is read"


def load(mount, folder, seed, pid):
    rng = random.Random(int(seed))
    delay = rng.uniform(0.005, 0.25)
    state = State(folder)
    numbers = itertools.count(state.next)
    writers = [
        threading.Thread(
            target=write_until_killed,
            # Opened before the clock runs: however slow the threads are to start, none finds the daemon gone already.
            args=(os.open(f"{mount}/{name}", os.O_RDWR), written, numbers, random.Random(rng.random())),
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
        shown = f"{mount}/snapshots/{name}"
        for want, got in itertools.zip_longest(pieces_of(frozen), pieces_of(shown)):
            if want != got:
                sys.exit(f"snapshot {name}: {first_difference(stamps_of(frozen), stamps_of(shown))}")


if __name__ == "__main__":
    {"init": init, "freeze": freeze, "adopt": adopt, "rolled_back": rolled_back, "load": load, "verify": verify}[sys.argv[1]](*sys.argv[2:])
