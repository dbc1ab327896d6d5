#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# create --cow: the copies go into a file or block device of the user's, which a kernel can activate and the next mount finds;
# what holds something, or is in use, is refused and untouched, and so is all when a create fails; after a removal it is there
# still, blank, and can be given again.
. "$(dirname "$0")/functions.sh"
head -c 4M /dev/urandom > disk.img
cp disk.img frozen.img
mkdir other
mount -t tmpfs -o size=8M none other
serve disk.img d
create() { "$DMSNAP" create "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }
write() { dd if=/dev/urandom of=d/origin bs=4K seek="$1" count=50 conv=notrunc,fsync status=none; }

# a file that is not there, named as seen from here; an empty one; one with a length; a block device
create d made --cow other/made.cow
: > empty.cow
create d empty --cow empty.cow --size 1M
truncate -s 2M blank.cow
create d blank --cow "$PWD/blank.cow"
truncate -s 3M device.img
device=$(losetup --show -f device.img)
create d device --cow "$device"
[ "$(stat -c %s empty.cow)" = 1048576 ] && [ "$(stat -c %s blank.cow)" = 2097152 ] || fail "the lengths are $(stat -c %s empty.cow blank.cow)"
[ "$("$DMSNAP" status d device --json | jq .total_bytes)" = 3145728 ] || fail "the size of a device is not its size"
[ "$(ls disk.img.dmsnap | grep -c cow)" = 0 ] || fail "there are COW files in the folder: $(ls disk.img.dmsnap)"
write 0
for name in made empty blank device; do cmp d/snapshots/$name frozen.img || fail "$name"; done
"$DMSNAP" resize d empty 2M || fail "a lent file cannot be resized"
expect_failure 1 "is a block device: resize that first" "$DMSNAP" resize d device 5M

# found again, also after a kill
kill -9 "$(cat d.pid)"
rm d.pid
serve disk.img d 2> err.txt
write 100
for name in made empty blank device; do cmp d/snapshots/$name frozen.img || fail "$name after a kill"; done

# refused, and untouched
head -c 8192 /dev/urandom > precious
cp precious before
expect_failure 1 "holds something" "$DMSNAP" create d no --cow precious
cmp precious before || fail "a refused file was changed"
expect_failure 1 "blank.cow holds something" "$DMSNAP" create d no --cow blank.cow
expect_failure 1 "in use" "$DMSNAP" create d no --cow "$device"
truncate -s 8M swapped
mkfs.btrfs -q -f swapped 2> /dev/null || truncate -s 8M swapped
if [ "$(blkid -o value -s TYPE swapped)" = btrfs ]; then # its first 64 KiB are zeros
  cp swapped before
  expect_failure 1 "holds something (btrfs)" "$DMSNAP" create d no --cow swapped
  cmp swapped before || fail "a refused filesystem was changed"
fi
expect_failure 1 "No such file" "$DMSNAP" create d no --cow nowhere/x.cow
truncate -s 2M sized
expect_failure 1 "another size cannot be given" "$DMSNAP" create d no --cow sized --size 1M
# a name that is taken, and a full disk: nothing is left
rm -f new.cow
expect_failure 1 "there is a snapshot made already" "$DMSNAP" create d made --cow new.cow
[ ! -e new.cow ] || fail "left behind: new.cow"
dd if=/dev/zero of=other/filler bs=4K status=none 2> /dev/null || true
: > other/empty.cow
expect_failure 1 "No space" "$DMSNAP" create d no --cow other/new.cow
expect_failure 1 "No space" "$DMSNAP" create d no --cow other/empty.cow
[ ! -e other/new.cow ] && [ "$(stat -c %s other/empty.cow)" = 0 ] || fail "left behind: $(ls -l other)"
rm other/filler

# removed: it is there, blank, and can be given again
for name in made blank device; do "$DMSNAP" remove d $name || fail "remove $name"; done
[ -e other/made.cow ] && [ "$(stat -c %s blank.cow)" = 2097152 ] || fail "remove has deleted a user's file"
for each in other/made.cow blank.cow "$device"; do
  cmp -n 4096 "$each" /dev/zero || fail "$each still looks like a store"
done
# what lies there by now is somebody else's
create d gone --cow gone.cow
unserve d
head -c 64K /dev/urandom > gone.cow
cp gone.cow theirs
"$DMSNAP" remove disk.img gone > out.txt 2> err.txt || fail "remove: $(cat err.txt)"
cmp gone.cow theirs || fail "remove has blanked what is no COW any more"
serve disk.img d
cp d/origin frozen.img
create d again --cow "$device"
create d blank --cow blank.cow
write 500
cmp d/snapshots/again frozen.img && cmp d/snapshots/blank frozen.img || fail "given again, it shows something else"
unserve d
"$DMSNAP" check blank.cow > out.txt || fail "check: $(cat out.txt)"

# not there at the next mount: as one that is attached
mv blank.cow away.cow
serve disk.img d 2> err.txt
grep -q "its COW file is missing" err.txt || fail "nobody says that it is missing: $(cat err.txt)"
unserve d
losetup -d "$device"
umount other
