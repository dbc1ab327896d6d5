# SPDX-License-Identifier: GPL-2.0-or-later
"""The load of killed.sh, and what must be true after it. Every 512-byte sector of a file under test says which sector it
is and which write of the load wrote it.

  init IMAGE                            every sector written by write 0
  freeze MOUNT SNAPSHOT STATE           records what the next snapshot must show for ever
  load MOUNT STATE SEED PID             writes, flushes, and kills the daemon at a random moment
  verify MOUNT STATE                    everything flushed is there, nothing that was never written, snapshots are exact
"""
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
    found = []
    with open(path, "rb") as file:
        data = file.read()
    for sector in range(len(data) // SECTOR):
        piece = data[sector * SECTOR : (sector + 1) * SECTOR]
        number, write = struct.unpack_from("<QQ", piece)
        if piece != stamp(number, write) or number != sector:
            sys.exit(f"{path}: sector {sector} holds something that was never written there")
        found.append(write)
    return found


class State:
    """For each file: the last flushed write of each sector, and what was issued since."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "writes"
        self.flushed, self.issued, self.next = {}, {}, 1
        if self.path.exists():
            self.flushed, self.issued, self.next = pickle.loads(self.path.read_bytes())

    def save(self):
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_bytes(pickle.dumps((self.flushed, self.issued, self.next)))


def init(image):
    with open(image, "r+b") as file:
        for sector in range(os.path.getsize(image) // SECTOR):
            file.write(stamp(sector, 0))


def freeze(mount, snapshot, folder):
    pathlib.Path(folder).mkdir(exist_ok=True)
    content = stamps_of(f"{mount}/origin")
    (pathlib.Path(folder) / f"frozen.{snapshot}").write_bytes(pickle.dumps(content))


def load(mount, folder, seed, pid):
    rng = random.Random(int(seed))
    state = State(folder)
    file = os.open(f"{mount}/origin", os.O_RDWR)
    sectors = os.fstat(file).st_size // SECTOR
    name = "origin"
    flushed, issued = state.flushed.setdefault(name, {}), state.issued.setdefault(name, {})
    delay = rng.uniform(0.005, 0.25)
    killer = threading.Thread(target=lambda: (time.sleep(delay), os.kill(int(pid), signal.SIGKILL)))
    killer.start()
    try:
        while True:
            count = rng.choice([1, 8, 8, 8, 64, 300])
            first = rng.randrange(sectors - count)
            if rng.random() < 0.7:
                first = first // 8 * 8
            write = state.next
            state.next += 1
            for sector in range(first, first + count):
                issued.setdefault(sector, []).append(write)
            os.pwrite(file, b"".join(stamp(s, write) for s in range(first, first + count)), first * SECTOR)
            if rng.random() < 0.05:
                os.fsync(file)
                for sector, writes in issued.items():
                    flushed[sector] = writes[-1]
                issued.clear()
    except OSError:
        pass
    killer.join()
    try:
        os.close(file)
    except OSError:
        pass  # there is nobody left to tell
    state.save()


def verify(mount, folder):
    state = State(folder)
    flushed, issued = state.flushed.get("origin", {}), state.issued.get("origin", {})
    for sector, write in enumerate(stamps_of(f"{mount}/origin")):
        allowed = [flushed.get(sector, 0), *issued.get(sector, [])]
        if write not in allowed:
            sys.exit(f"origin: sector {sector} holds write {write}, not one of {allowed}")
        if sector in issued or sector in flushed:
            flushed[sector] = write
    # What was found after the crash is where the next round starts from.
    issued.clear()
    state.save()
    for frozen in pathlib.Path(folder).glob("frozen.*"):
        name = frozen.name.removeprefix("frozen.")
        wanted, found = pickle.loads(frozen.read_bytes()), stamps_of(f"{mount}/snapshots/{name}")
        for sector, (want, got) in enumerate(zip(wanted, found, strict=True)):
            if want != got:
                sys.exit(f"snapshot {name}: sector {sector} holds write {got}, not {want}")


if __name__ == "__main__":
    {"init": init, "freeze": freeze, "load": load, "verify": verify}[sys.argv[1]](*sys.argv[2:])
