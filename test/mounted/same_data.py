# SPDX-License-Identifier: GPL-2.0-or-later
# same_data.py FILE FILE: whether two files of any size show the same; only what is data in one of them is read.
import os, sys

first, second = (os.open(path, os.O_RDONLY) for path in sys.argv[1:])
size = os.fstat(first).st_size
if size != os.fstat(second).st_size:
    sys.exit("sizes differ")


def next_data(fd, at):
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError:  # none is left
        return size


at = 0
while (at := min(next_data(first, at), next_data(second, at))) < size:
    one, other = os.pread(first, 1 << 20, at), os.pread(second, 1 << 20, at)
    if one != other:
        sys.exit(f"they differ between {at} and {at + len(one)}")
    at += len(one)
