#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Files of a mount belong to whom the image belongs, until chown and chmod say otherwise: that is recorded, follows a rename and
# a clone's name, and counts for other users. df tells of the store's filesystem.
. "$(dirname "$0")/functions.sh"
is() {
  [ "$(stat --cached=never -c '%u %g %a' "$1")" = "$2" ] || fail "$1 is $(stat -c '%u %g %a' "$1"), not $2"
}
as_other() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
head -c 4M /dev/urandom > disk.img
cp disk.img was.img
chmod 644 was.img
chown 12:34 disk.img
chmod 640 disk.img
serve disk.img d --allow-other
touch d/snapshots/a
is d/origin "12 34 640"
is d/snapshots/a "12 34 640"
"$DMSNAP" create --read-only d fixed > out.txt 2> err.txt
is d/snapshots/fixed "12 34 440"
! as_other cat d/snapshots/a > /dev/null 2>&1 || fail "others read what is not theirs"
chown 65534 d/snapshots/a
chmod 400 d/snapshots/a
as_other cmp d/snapshots/a was.img || fail "the owner cannot read"
! as_other chmod 666 d/origin 2> /dev/null || fail "others change the mode of the origin"
! as_other dd if=/dev/zero of=d/snapshots/a count=1 conv=notrunc status=none 2> /dev/null || fail "the mode is not heeded"
! as_other touch d/snapshots/theirs 2> /dev/null || fail "others take snapshots"
chmod 604 d/origin
as_other cmp d/origin was.img || fail "others cannot read what they may"
mv d/snapshots/a d/snapshots/b
is d/snapshots/b "65534 34 400"
(umask 0 && cp -p d/snapshots/b d/snapshots/c)
is d/snapshots/c "65534 34 400"
[ "$("$DMSNAP" list d --json | jq -r '.[] | select(.name == "c") | .base')" = b ] || fail "cp -p makes no clone"
expect_failure 1 "not permitted" chmod 777 d/snapshots
[ "$(stat -f -c '%b %T' d)" != "0 fuseblk" ] && [ "$(stat -f -c %b d)" = "$(stat -f -c %b .)" ] || fail "df: $(stat -f d)"
unserve d
serve disk.img d --allow-other
is d/origin "12 34 604"
is d/snapshots/b "65534 34 400"
is d/snapshots/c "65534 34 400"
is disk.img "12 34 640"
unserve d
serve disk.img d --read-only
expect_failure 1 "Read-only" chmod 600 d/origin
unserve d
