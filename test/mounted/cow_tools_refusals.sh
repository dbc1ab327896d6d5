#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each tool on each store that it cannot use: cut off, marked invalid, damaged in its header, on a device with read errors in the
# middle; and on outputs that cannot be: one clear line, the documented exit status, nothing left under the final name.
. "$(dirname "$0")/functions.sh"
truncate -s 32M disk.img
serve disk.img d
"$DMSNAP" create d snap > out.txt 2> err.txt
dd if=/dev/urandom of=d/origin bs=64K count=40 seek=3 conv=notrunc status=none # 640 exceptions, in areas 0 to 2
unserve d
cow=disk.img.dmsnap/snap.cow
"$DMSNAP" dump $cow > dump.txt
bytes() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; } # FILE OFFSET BYTES

# expect STATUS TEXT VERB OPERAND...: one line with TEXT, this exit status, and no output
expect() {
  local status=0 wanted=$1 text=$2
  shift 2
  "$DMSNAP" "$@" > out.txt 2> err.txt || status=$?
  [ $status -eq "$wanted" ] || fail "$*: exit status $status, not $wanted: $(cat out.txt err.txt)"
  grep -qF -- "$text" out.txt err.txt || fail "$*: says '$(cat out.txt err.txt)', not '$text'"
  [ "$wanted" = 0 ] || [ "$(cat out.txt err.txt | wc -l)" -eq 1 ] || [ "$1" = check ] || fail "$*: not one line: $(cat out.txt err.txt)"
  [ ! -e new.cow ] || [ "$wanted" = 0 ] || fail "$*: left a file"
  rm -f new.cow
}

# invalid: looked at all the same, and said; a repaired one stays invalid
cp $cow invalid.cow && bytes invalid.cow 4 '\0\0\0\0'
expect 3 "the snapshot is invalid" check invalid.cow
expect 0 "valid 0" dump invalid.cow
expect 0 '"valid": false' dump --json invalid.cow
expect 0 "the new one says so too" repair invalid.cow new.cow
expect 0 "196608 2621440" diff invalid.cow disk.img
expect 0 "the snapshot is invalid" diff invalid.cow disk.img
expect 0 "snapshot is invalid" restore dump.txt new.cow --data invalid.cow

# cut off inside area 1 (chunk 258): the list goes on where there is nothing
head -c $((260 * 4096)) $cow > short.cow
expect 3 "beyond the end" check short.cow
expect 3 "dmsnap repair" dump short.cow
expect 3 "dmsnap repair" dump --json short.cow
expect 3 "dmsnap repair" dump --map -o new.cow short.cow
expect 0 "dropped" repair short.cow new.cow
expect 1 "beyond the end" diff short.cow disk.img
expect 1 "beyond the end" restore dump.txt new.cow --data short.cow

# a header that nobody can use
for damage in "12 \\7 chunk size" "8 \\2 version 2"; do
  read -r offset byte text <<< "$damage"
  cp $cow header.cow && bytes header.cow "$offset" "$byte"
  expect 3 "$text" check header.cow
  expect 3 "$text" dump header.cow
  expect 1 "$text" repair header.cow new.cow
  expect 1 "$text" diff header.cow disk.img
done

# a file of 4 KiB whose header says chunks of 1 GiB: no memory is taken for a chunk that is not there
head -c 4096 $cow > huge.cow && bytes huge.cow 12 '\0\0\040\0'
(
  ulimit -v 500000
  expect 3 "beyond the end" check huge.cow
  expect 3 "beyond the end" dump huge.cow
  expect 0 "0 exceptions kept" repair huge.cow new.cow
  expect 1 "beyond the end" diff huge.cow disk.img
)

# read errors in the middle: a mount shows a file that somebody cuts off, so that its end answers EIO
cp $cow below.cow
mkdir e
serve below.cow e --format raw
truncate -s 1100000 below.cow
bad=e/origin
expect 1 "read metadata area 2" check $bad
expect 1 "$bad: read metadata area 2" dump $bad
expect 1 "$bad: read metadata area 2" dump --json $bad
expect 1 "$bad: read metadata area 2" dump --map -o new.cow $bad
expect 1 "$bad: read metadata area 2" repair $bad new.cow
expect 1 "$bad and disk.img: read metadata area 2" diff $bad disk.img
expect 1 "$bad and disk.img: read metadata area 2" diff --exceptions $bad disk.img
expect 1 "$cow and $bad: read the origin" diff $cow $bad
expect 1 "new.cow of $bad: read a data chunk" restore dump.txt new.cow --data $bad
expect_failure 1 "before everything was on disk" "$DMSNAP" umount e
rm e.pid

# data chunks that cannot be read: their entries are dropped, and each is told
cp $cow ending.cow
serve ending.cow e --format raw
truncate -s $((642 * 4096)) ending.cow # the last entries have 642 and 643
expect 0 "638 exceptions kept, 2 dropped" repair $bad new.cow
"$DMSNAP" repair $bad some.cow > out.txt
grep -q "area 2, entry 127 (byte .*), origin chunk 687, COW chunk 643: its copy cannot be read; the 4096 bytes" out.txt || fail "$(cat out.txt)"
"$DMSNAP" check -q some.cow || fail "a store repaired from a disk that fails is not sound"
expect_failure 1 "before everything was on disk" "$DMSNAP" umount e
rm e.pid

# outputs: what is there stays, also when the work fails; what is no file, or has no folder, is refused
echo precious > new.txt
for verb in "repair $cow" "restore dump.txt --data $cow"; do
  expect 1 "exists already" $verb new.txt
  expect 1 "no regular file" $verb --force d
  expect 1 "No such file" $verb nowhere/new.cow
done
expect 1 "beyond the end" restore --force dump.txt new.txt --data short.cow
ulimit -S -f 100 # SIGXFSZ would end it before it has cleaned up
expect 1 "File too large" repair $cow new.cow
expect 1 "File too large" restore dump.txt new.cow --data $cow
ulimit -S -f unlimited
mkdir small && mount -t tmpfs -o size=16k none small # metadata fits, data does not
echo old > small/there
for verb in "dump -o" "dump --map -o" "dump --json -o"; do
  head -c 12K /dev/zero > small/fill
  expect 1 "small/new: No space left" $verb small/new $cow
  rm small/fill
done
for output in small/new "--force small/there"; do
  expect 1 "${output#* }" repair $cow $output
  expect 1 "${output#* }" restore dump.txt --data $cow $output
done
grep -q "No space left" err.txt || fail "does not say why: $(cat err.txt)"
[ "$(ls -A small)" = there ] && [ "$(cat small/there)" = old ] || fail "no room, and left behind: $(ls -lA small)"
umount small
[ "$(cat new.txt)" = precious ] || fail "a file was changed by what failed"
[ -z "$(find . -maxdepth 1 -name '.new*')" ] || fail "left behind: $(ls -A)"
