#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A disk that is full, below the store: creating fails in one line and leaves nothing; a snapshot that can no longer keep
# the old content is invalid on disk, while the origin goes on; removing snapshots gives the room back.
. "$(dirname "$0")/functions.sh"
mkdir small
mount -t tmpfs -o size=6M none small
dd if=/dev/urandom of=disk.img bs=1M count=16 status=none
cp disk.img shadow.img
serve disk.img d --store "$PWD/small/set"
"$DMSNAP" create d first > out.txt 2> err.txt

# full while creating
dd if=/dev/zero of=small/filler bs=4K status=none 2> err.txt || true
files=$(ls -A small/set)
expect_failure 1 "space" "$DMSNAP" create d second
[ "$(wc -l < err.txt)" -eq 1 ] || fail "not one line: $(cat err.txt)"
[ "$(ls -A small/set)" = "$files" ] || fail "left behind: $(ls -A small/set)"
[ "$("$DMSNAP" list d --json | jq -r '.[].name')" = first ] || fail "a half-made snapshot is listed"
rm small/filler
"$DMSNAP" create d second > out.txt 2> err.txt
"$DMSNAP" create d third --type P --size 1M > out.txt 2> err.txt

# full while the origin is written: both copies of 16 MiB do not fit
for each in d/origin shadow.img; do
  dd if=/dev/zero bs=1M count=16 conv=notrunc status=none | tr '\0' '\125' | dd of=$each bs=64K conv=notrunc,fsync status=none
done
cmp d/origin shadow.img || fail "the origin is not what was written"
for name in first second third; do
  [ "$("$DMSNAP" status d "$name" --json | jq -r .state)" = invalid ] || fail "$name is not invalid: $("$DMSNAP" status d "$name" --json)"
  ! head -c 4096 "d/snapshots/$name" > out.txt 2> err.txt || fail "an invalid snapshot can be read"
done
[ "$("$DMSNAP" status d third --dm)" = "0 32768 snapshot Invalid" ] || fail "--dm: $("$DMSNAP" status d third --dm)"
unserve d
cmp disk.img shadow.img || fail "the image is not what was written"

serve disk.img d --store "$PWD/small/set"
[ "$("$DMSNAP" status d --json | jq -r '.snapshots[].state' | sort -u)" = invalid ] || fail "invalid was not durable"
for name in first second third; do "$DMSNAP" remove d $name; done
"$DMSNAP" create d again > out.txt 2> err.txt
dd if=/dev/urandom of=d/origin bs=64K count=16 conv=notrunc status=none
cmp d/snapshots/again shadow.img || fail "a snapshot taken after room was made is not right"

# PO: the snapshot's own writers get the error, what it has stays readable, and only an origin write makes it invalid
"$DMSNAP" create d own --type PO --size 256K > out.txt 2> err.txt
cp d/snapshots/own own.img
! dd if=/dev/zero of=d/snapshots/own bs=4K conv=notrunc,fsync count=200 status=none 2> err.txt || fail "writes past the room succeed"
[ "$("$DMSNAP" status d own --dm)" = "0 32768 snapshot Overflow" ] || fail "--dm: $("$DMSNAP" status d own --dm)"
cmp -n 4096 d/snapshots/own /dev/zero || fail "what was written before the overflow is gone"
dd if=/dev/urandom of=d/origin bs=4K seek=2000 count=1 conv=notrunc,fsync status=none
[ "$("$DMSNAP" status d own --dm)" = "0 32768 snapshot Invalid" ] || fail "after an origin write: $("$DMSNAP" status d own --dm)"
unserve d
umount small
