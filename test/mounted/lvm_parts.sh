#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# packaging/lvm-parts on disk images without device-mapper: whole and partitioned ones, names with blanks, and what is none; a
# mount of what it names has no store. What LVM's snapshots hold is tested with a kernel (kernel/lvm.sh).
. "$(dirname "$0")/functions.sh"
parts() { "$source_folder/../../packaging/lvm-parts" "$@"; }
volume() { # LOOP: a group with the volume live of 4 MiB
  local options=(--devices "$1" --driverloaded n --config 'backup { backup=0 archive=0 }')
  { pvcreate "${options[@]}" "$1" && vgcreate -s 1M vg "${options[@]}" "$1" && lvcreate -an -Zn -Wn -l 4 -n live vg "${options[@]}"; } > lvm.txt 2>&1 ||
    fail "$(cat lvm.txt)"
  losetup -d "$1"
}
truncate -s 32M disk.raw "my disk.raw"
volume "$(losetup --find --show disk.raw)"
[ "$(parts disk.raw)" = "vg/live disk.raw@1048576+4194304" ] || fail "$(parts disk.raw)"

# a partition from 1 MiB on, in an image whose name a shell would split
printf '\0\0\0\0\x8e\0\0\0\0\x08\0\0\0\xf0\0\0' | dd of="my disk.raw" bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of="my disk.raw" bs=1 seek=510 conv=notrunc status=none
volume "$(losetup --find --show --offset 1M "my disk.raw")"
expect_failure 1 'no LVM physical volume; its partitions begin at my\ disk.raw@1048576 (LVM)' parts "my disk.raw"
parts "my disk.raw@1048576" > parts.txt
[ "$(cat parts.txt)" = 'vg/live my\ disk.raw@2097152+4194304' ] || fail "$(cat parts.txt)"
printf 'first bytes' | dd of="my disk.raw" bs=1 seek=2097152 conv=notrunc status=none
eval "set -- $(cat parts.txt)"
serve "$2" d --read-only
[ "$(head -c 11 d/origin)" = "first bytes" ] && [ "$(stat -c %s d/origin)" = 4194304 ] || fail "not the volume"
"$DMSNAP" status d | grep -qx 'store       none' || fail "$("$DMSNAP" status d)"
[ "$("$DMSNAP" status d --json | jq -r .store)" = "" ] || fail "$("$DMSNAP" status d --json)"
unserve d
[ -z "$(find . -name '*.dmsnap')" ] || fail "made a store"

# one line of its own for what has none
: > empty
truncate -s 1M blank.raw
for disk in "empty:is empty" "d:neither a file" "missing:does not exist" "/dev/null:neither a file" "blank.raw:no LVM physical volume"; do
  expect_failure 1 "lvm-parts: ${disk%%:*}" parts "${disk%%:*}"
  grep -qF "${disk#*:}" err.txt && [ "$(wc -l < err.txt)" -eq 1 ] || fail "$disk: $(cat err.txt)"
done
