# SPDX-License-Identifier: GPL-2.0-or-later
# partial_copies.py MODE: copies to new snapshots of the mount d that are no whole copies. What they are to show is written
# to the files expected.NAME. d/snapshots/a and d/origin are of 8 MiB and differ everywhere; nobody else writes.
import os, signal, subprocess, sys

MiB = 1 << 20
origin, a = (open(path, "rb").read() for path in ("d/origin", "d/snapshots/a"))
source = os.open("d/snapshots/a", os.O_RDONLY)


def make(name, flags=0):
    return os.open("d/snapshots/" + name, os.O_RDWR | os.O_CREAT | flags)


def copy(fd, at, size, to=None, of=source):
    to = at if to is None else to
    while size > 0:
        copied = os.copy_file_range(of, fd, size, at, to)
        assert copied > 0
        at, to, size = at + copied, to + copied, size - copied


def expect(name, content):
    assert len(content) == 8 * MiB
    with open("expected." + name, "wb") as file:
        file.write(content)


def shows(fd, content):
    assert os.pread(fd, 8 * MiB, 0) == content


def closed():
    fd = make("untouched")
    shows(fd, origin)
    os.close(fd)
    expect("untouched", origin)

    fd = make("part")
    copy(fd, 1 * MiB, 2 * MiB)
    shows(fd, a)  # a clone, until it is closed too early
    os.close(fd)
    expect("part", origin[: 1 * MiB] + a[1 * MiB : 3 * MiB] + origin[3 * MiB :])
    with open("d/snapshots/part", "rb") as again:
        shows(again.fileno(), open("expected.part", "rb").read())

    fd = make("part-written")  # what is written between copies stays, also where a later copy goes around it
    copy(fd, 0, MiB)
    os.pwrite(fd, b"w" * 5000, 4 * MiB - 3)
    copy(fd, 6 * MiB, MiB)
    os.close(fd)
    expected = bytearray(a[:MiB] + origin[MiB : 6 * MiB] + a[6 * MiB : 7 * MiB] + origin[7 * MiB :])
    expected[4 * MiB - 3 : 4 * MiB + 4997] = b"w" * 5000
    expect("part-written", bytes(expected))

    fd = make("written-over")  # a copy goes over what was written before
    copy(fd, 0, MiB)
    os.pwrite(fd, b"w" * 5000, 5 * MiB)
    os.pwrite(fd, b"w" * 5000, 7 * MiB)
    copy(fd, MiB, 6 * MiB)
    copy(fd, 7 * MiB + 2500, MiB - 2500)
    os.close(fd)
    expect("written-over", a[: 7 * MiB] + b"w" * 2500 + a[7 * MiB + 2500 :])

    fd = make("moved")  # other offsets are a copy like any other
    copy(fd, 0, 3 * MiB + 77, 2 * MiB + 5)
    os.close(fd)
    expect("moved", origin[: 2 * MiB + 5] + a[: 3 * MiB + 77] + origin[5 * MiB + 82 :])

    fd = make("written-first")
    os.pwrite(fd, b"first", 10)
    copy(fd, MiB, 7 * MiB)
    os.close(fd)
    expect("written-first", origin[:10] + b"first" + origin[15:MiB] + a[MiB:])

    fd = make("as-empty", os.O_EXCL)  # for who takes it for an empty file the rest is zeros
    os.pwrite(fd, a[MiB : 2 * MiB], MiB)
    os.pwrite(fd, b"x" * 99, 5 * MiB)
    os.close(fd)
    expect("as-empty", bytes(MiB) + a[MiB : 2 * MiB] + bytes(3 * MiB) + b"x" * 99 + bytes(3 * MiB - 99))

    fd = make("two-sources")
    copy(fd, 0, MiB)
    copy(fd, MiB, 7 * MiB, of=os.open("d/origin", os.O_RDONLY))
    os.close(fd)
    expect("two-sources", a[:MiB] + origin[MiB:])

    fd = make("twice-open")  # who has it open, too, sees the same
    other = os.open("d/snapshots/twice-open", os.O_RDWR)
    copy(fd, 0, 2 * MiB)
    os.pwrite(other, b"o" * 100, 3 * MiB)
    os.close(fd)
    content = bytearray(a[: 2 * MiB] + origin[2 * MiB :])
    content[3 * MiB : 3 * MiB + 100] = b"o" * 100
    shows(other, bytes(content))
    expect("twice-open", bytes(content))
    os.close(other)


def daemon():
    return int(open(sys.argv[2]).read())


def killed():
    fd = make("killed-fresh")
    expect("killed-fresh", origin)
    other = make("killed-copying")
    copy(other, 0, 2 * MiB)
    expect("killed-copying", origin)
    durable = make("killed-synced")
    copy(durable, MiB, 2 * MiB)
    os.fsync(durable)
    expect("killed-synced", origin[:MiB] + a[MiB : 3 * MiB] + origin[3 * MiB :])
    whole = make("killed-whole")
    copy(whole, 0, 8 * MiB)
    expect("killed-whole", a)
    os.kill(daemon(), signal.SIGKILL)


{"closed": closed, "killed": killed}[sys.argv[1]]()
