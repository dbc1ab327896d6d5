#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a mount finds and goes on with is told in one line on stderr before the daemon detaches, and in its log.
. "$(dirname "$0")/functions.sh"
told() { # TEXT OPTION...: disk.img is mounted, and this is said, in one line, here and there
  local text=$1
  shift
  rm -f log
  serve "$@" 2> err.txt
  [ "$(grep -cF -- "$text" err.txt)" -eq 1 ] || fail "$*: stderr says '$(cat err.txt)', not '$text'"
  [ "$(grep -cF -- "$text" log)" -eq 1 ] || fail "$*: the log says '$(cat log)', not '$text'"
}
quiet() { # nothing to tell
  serve "$@" 2> err.txt
  [ ! -s err.txt ] || fail "$*: says $(cat err.txt)"
}

# a list with a hole: what lies behind it is given up
truncate -s 4M disk.img
quiet disk.img d
"$DMSNAP" create d good > out.txt 2> err.txt
dd if=/dev/urandom of=d/origin bs=4K count=251 conv=notrunc,fsync status=none
unserve d
cow=disk.img.dmsnap/good.cow
cp $cow saved.cow
dd if=/dev/zero of=$cow bs=8 seek=513 count=1 conv=notrunc status=none
cp $cow holed.cow
told "entry 0 of metadata area 0; 250 entries" disk.img d --read-only
grep -F "'good', $PWD/$cow" err.txt | grep -F "dmsnap check" | grep -qF "dmsnap repair" || fail "says $(cat err.txt)"
unserve d
cmp $cow holed.cow || fail "a read-only mount has written to the store"
told "entry 0 of metadata area 0; 250 entries" disk.img d
unserve d
quiet disk.img d
unserve d

# a store that says that it is invalid
cp saved.cow $cow
dd if=/dev/zero of=$cow bs=4 seek=1 count=1 conv=notrunc status=none
told "snapshot 'good' is invalid" disk.img d
grep -q "marked invalid" d/.dmsnap/status || fail "status gives no reason: $(cat d/.dmsnap/status)"
unserve d

# a COW file that is missing
mv $cow away.cow
told "its COW file is missing" disk.img d
grep -qF "served read-only: the COW file of good is missing" err.txt || fail "says $(cat err.txt)"
unserve d
cp saved.cow elsewhere.cow
"$DMSNAP" remove disk.img good

# only to be read
head -c 100000 /dev/urandom > odd.img
told "odd.img is served read-only: the size" odd.img d
unserve d
mkdir still
mount -t tmpfs -o size=4M none still
truncate -s 1M still/disk.img
mount -o remount,ro still
told "disk.img is served read-only: $PWD/still/disk.img lies on read-only storage" still/disk.img d
unserve d
quiet still/disk.img d --read-only
unserve d
umount still
