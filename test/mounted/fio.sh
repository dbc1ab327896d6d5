#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random and sequential writes of 4 KiB to 1 MiB on the origin and on two snapshots at once are read back right, now and
# after mounting again, while a third snapshot stays byte for byte what it was.
. "$(dirname "$0")/functions.sh"
dd if=/dev/urandom of=disk.img bs=1M count=96 status=none
cp disk.img frozen.img
serve disk.img d
"$DMSNAP" create d first > out.txt 2> err.txt
"$DMSNAP" create d second --chunk-size 64K > out.txt 2> err.txt
"$DMSNAP" create d third --chunk-size 16K > out.txt 2> err.txt

cat > jobs.fio <<'JOBS'
[global]
size=96m
bsrange=4k-1m
verify=crc32c
verify_fatal=1
verify_backlog=256
randseed=11
serialize_overlap=0
fsync=64
direct=1
ioengine=psync
allow_file_create=0
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
rw=write
JOBS
# Direct reads ask the daemon each time: also for writes that are still held, and for what the page cache would know.
third_is_frozen() { dd if=d/snapshots/third iflag=direct bs=1M status=none | cmp - frozen.img; }
touch comparing
(while [ -e comparing ]; do third_is_frozen || exit 1; done) &
reader=$!
fio jobs.fio > fio.txt 2>&1 || fail "$(grep -m3 -E 'verify|error' fio.txt)"
rm comparing
wait $reader || fail "the third snapshot changed while the others were written"
unserve d

serve disk.img d
third_is_frozen || fail "the third snapshot is not what it was"
fio --verify_only jobs.fio > fio.txt 2>&1 || fail "after mounting again: $(grep -m3 -E 'verify|error' fio.txt)"
unserve d
