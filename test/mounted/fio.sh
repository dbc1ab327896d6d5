#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random and sequential writes of 4 KiB to 1 MiB on the origin and on two snapshots at once are read back right, now and
# after mounting again, while a third snapshot stays byte for byte what it was.
. "$(dirname "$0")/functions.sh"
. "$source_folder/verified_load.sh"
dd if=/dev/urandom of=disk.img bs=1M count=96 status=none
cp disk.img frozen.img
serve disk.img d
"$DMSNAP" create d first > out.txt 2> err.txt
"$DMSNAP" create d second --chunk-size 64K > out.txt 2> err.txt
"$DMSNAP" create d third --chunk-size 16K > out.txt 2> err.txt

verified_load 'size=96m
randseed=11
serialize_overlap=0
fsync=64
ioengine=psync
[origin-random]
filename=d/origin
rw=randwrite
size=64m
[origin-sequential]
filename=d/origin
rw=write
direct=0
offset=64m
size=32m
[first-random]
filename=d/snapshots/first
rw=randwrite
[second-sequential]
filename=d/snapshots/second
rw=write'
unserve d

serve disk.img d
third_is_frozen || fail "the third snapshot is not what it was"
fio --verify_only jobs.fio > fio.txt 2>&1 || fail "after mounting again: $(grep -m3 -E 'verify|error' fio.txt)"
unserve d
