#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# filesystem_life.sh ext4|xfs|btrfs: the life of a snapshot of a real filesystem, over loop devices in both modes.
. "$(dirname "$0")/functions.sh"
type=$1
options=defaults
case $type in
  ext4) make="mkfs.ext4 -q" check="e2fsck -fn" ;;
  xfs) make="mkfs.xfs -q" check="xfs_repair -n" options=nouuid ;;
  btrfs) make="mkfs.btrfs -q" check="btrfs check --readonly" ;;
esac
mount_loop() { # FILE FOLDER DIRECT-IO
  loop=$(losetup --find --show --direct-io="$3" "$1")
  mount -o $options "$loop" "$2"
}
unmount_loop() {
  loop=$(findmnt -n -o SOURCE "$1")
  umount "$1"
  losetup -d "$loop"
}

kernel_is_at_least() { printf '%s\n' "$1" "$(uname -r)" | sort -V -C; }
# run_hint TEXT: the command that it prints, for the folder old
run_hint() {
  local hint=${1##*: }
  eval "${hint/DIRECTORY/old}" || fail "does not run: $hint"
}

# btrfs takes two devices with one UUID for one filesystem before Linux 6.7: one at a time works everywhere
both=yes
[ "$type" != btrfs ] || kernel_is_at_least 6.7 || both=no
truncate -s 400M disk.img
$make disk.img
mount -o loop disk.img live
cp -a /usr/share/doc live/doc 2> /dev/null
find live/doc -type f | sort | awk 'NR > 1500' | xargs -r rm -f
umount live

for direct in on off; do
  serve disk.img d
  "$DMSNAP" create d "snap-$direct" > out.txt 2> err.txt
  grep -q "mount -o loop" err.txt || fail "create does not tell how to mount $type: $(cat err.txt)"
  mount_loop d/origin live $direct
  tree live > "before-$direct"

  # change the origin: copy, overwrite, delete, truncate
  cp -a /usr/share/perl5 "live/new-$direct" 2> /dev/null || cp -a /etc "live/new-$direct"
  find live/doc -type f | sort | awk 'NR % 7 == 0' | while read -r file; do dd if=/dev/urandom of="$file" bs=4k count=2 conv=notrunc status=none; done
  find live/doc -type f | sort | awk 'NR % 11 == 0' | xargs -r rm -f
  find live/doc -type f | sort | awk 'NR % 13 == 0' | xargs -r truncate -s 100
  sync -f live
  tree live > "after-$direct"
  ! cmp -s "before-$direct" "after-$direct" || fail "nothing was changed"

  # what create and list tell to run works beside the origin, and for a snapshot whose journal cannot be replayed, too
  "$DMSNAP" create --read-only d fixed > out.txt 2> fixed.txt
  [ $both = yes ] || unmount_loop live
  run_hint "$(cat fixed.txt)"
  umount old
  "$DMSNAP" remove d fixed
  run_hint "$("$DMSNAP" list d | grep '^To look inside')"
  tree old | cmp - "before-$direct" || fail "the snapshot's tree has changed"
  umount old

  mount_loop "d/snapshots/snap-$direct" old $direct
  tree old | cmp - "before-$direct" || fail "the snapshot's tree has changed"
  mkdir old/mine
  cp -a /bin/bash old/mine/
  find old/doc -type f | sort | awk 'NR % 5 == 0' | while read -r file; do echo mine > "$file"; done
  tree old > "snap-$direct.tree"
  if [ $both = yes ]; then
    tree live | cmp - "after-$direct" || fail "what was written into the snapshot is in the origin's tree"
    unmount_loop live
  fi
  unmount_loop old
  unserve d

  serve disk.img d
  mount_loop d/origin live $direct
  tree live | cmp - "after-$direct" || fail "the origin's tree is not found again"
  unmount_loop live
  mount_loop "d/snapshots/snap-$direct" old $direct
  tree old | cmp - "snap-$direct.tree" || fail "the snapshot's tree is not found again"
  unmount_loop old
  $check d/origin > fsck.txt 2>&1 || fail "fsck of the origin: $(cat fsck.txt)"
  $check "d/snapshots/snap-$direct" > fsck.txt 2>&1 || fail "fsck of the snapshot: $(cat fsck.txt)"
  unserve d
done
$check disk.img > fsck.txt 2>&1 || fail "fsck of the plain image: $(cat fsck.txt)"
