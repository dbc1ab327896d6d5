#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A snapshot gets another name by command, mv and control file, with the same result: who has it open goes on, clones of it
# stay what they are, also after mounting again and after a kill at any moment; nothing is ever replaced.
. "$(dirname "$0")/functions.sh"
names() { ls d/snapshots | xargs; }
stores() { (cd disk.img.dmsnap && ls -- *.cow | xargs); }
by_command() { "$DMSNAP" rename d "$1" "$2"; }
by_mv() { mv d/snapshots/"$1" d/snapshots/"$2"; }
by_control() {
  exec 3<> d/.dmsnap/control
  echo "{\"verb\": \"rename\", \"name\": \"$1\", \"to\": \"$2\"}" >&3
  head -n 1 <&3 | jq -e .ok > out.txt
  exec 3>&-
}
head -c 8M /dev/urandom > disk.img
serve disk.img d
touch d/snapshots/a
cp d/snapshots/a d/snapshots/clone
dd if=/dev/urandom of=d/snapshots/a bs=64K seek=3 count=4 conv=notrunc status=none
cp d/snapshots/a a.was
cp d/snapshots/clone clone.was
exec 4<> d/snapshots/a
for way in by_command by_mv by_control; do
  ls d/snapshots/a > out.txt
  $way a b || fail "$way"
  [ "$(names)" = "b clone" ] && [ ! -e d/snapshots/a ] || fail "$way: $(names)"
  [ "$(stores)" = "b.cow clone.cow" ] || fail "$way: $(stores)"
  [ "$("$DMSNAP" status d clone --json | jq -r .base)" = b ] || fail "$way: clone falls through to $("$DMSNAP" status d clone --json | jq -r .base)"
  printf 'by an open file' | dd of=/dev/fd/4 bs=1 seek=100 conv=notrunc status=none || fail "$way: an open file cannot be written"
  [ "$(dd if=d/snapshots/b bs=1 skip=100 count=15 status=none)" = "by an open file" ] || fail "$way: an open file is another one"
  [ "$(stat -L -c %i /dev/fd/4)" = "$(stat -c %i d/snapshots/b)" ] || fail "$way: another inode"
  cmp d/snapshots/clone clone.was || fail "$way: what falls through to it changed"
  mv d/snapshots/b d/snapshots/a
done
exec 4>&-

# a loop device over it holds it under its new name, too
losetup -f --show d/snapshots/a > loop
by_command a b
cmp "$(cat loop)" d/snapshots/b || fail "a loop device over a renamed snapshot"
expect_failure 1 "$(cat loop)" "$DMSNAP" remove d b
losetup -d "$(cat loop)"
for _ in $(seq 50); do [ -n "$(losetup -j d/snapshots/b)" ] || break; sleep 0.1; done
by_command b a

# what is refused, and changes nothing
expect_failure 1 "there is a snapshot clone already" "$DMSNAP" rename d a clone
expect_failure 1 "there is no snapshot 'nobody'" "$DMSNAP" rename d nobody other
expect_failure 1 "cannot be the name of a snapshot" "$DMSNAP" rename d a .hidden
expect_failure 1 "is what a mount calls the image itself" "$DMSNAP" rename d a origin
expect_failure 1 "not permitted" mv d/snapshots/a d/snapshots/.hidden
expect_failure 1 "not permitted" mv d/snapshots/a d/a
expect_failure 1 "File exists" python3 -c 'import os; os.rename("d/snapshots/a", "d/snapshots/clone")'
expect_failure 1 "Invalid argument" python3 -c '
import ctypes, os
if ctypes.CDLL(None, use_errno=True).renameat2(-100, b"d/snapshots/a", -100, b"d/snapshots/clone", 2):
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))'
[ "$(names)" = "a clone" ] || fail "a refused rename changed the names: $(names)"

# the name that is free again, and who had it
by_mv a b
touch d/snapshots/a
cmp d/snapshots/a d/origin || fail "a new snapshot under a name that was used"
cp d/snapshots/b b.was
unserve d
serve disk.img d
cmp d/snapshots/b b.was && cmp d/snapshots/a d/origin && cmp d/snapshots/clone clone.was || fail "mounted again"

# killed while names change
for round in 1 2 3 4 5 6; do
  (for i in $(seq 100); do by_mv b "n$i" && by_mv "n$i" b || exit 0; done 2> /dev/null) &
  renaming=$!
  sleep 0.$((RANDOM % 5 + 1))
  kill -KILL "$(cat d.pid)"
  wait $renaming || true
  umount d
  serve disk.img d
  [ "$(ls d/snapshots | wc -l)" = 3 ] || fail "round $round: $(names)"
  now=$(ls d/snapshots | grep -v -x -e a -e clone)
  [ "$(stores)" = "$(echo a.cow "$now.cow" clone.cow | xargs -n 1 | sort | xargs)" ] || fail "round $round: $(stores), names $(names)"
  cmp "d/snapshots/$now" b.was && cmp d/snapshots/clone clone.was || fail "round $round: content"
  [ "$now" = b ] || by_mv "$now" b
done

# one that was attached keeps its file
unserve d
rm -rf other.img*
head -c 1M /dev/urandom > other.img
serve other.img d
touch d/snapshots/s
unserve d
mv other.img.dmsnap/s.cow outside.cow && rm -rf other.img.dmsnap
serve other.img d --attach s=outside.cow
by_command s renamed
cmp d/snapshots/renamed other.img
unserve d
serve other.img d
cmp d/snapshots/renamed other.img || fail "an attached one that was renamed"
[ -e outside.cow ] || fail "the file of an attached one was renamed"
unserve d
