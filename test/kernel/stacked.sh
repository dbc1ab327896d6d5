#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Snapshots that fall through to snapshots are stores that a Linux kernel stacks: it shows the same content for each link of a
# chain and for a clone, says the same of their fullness, and writes to them as dmsnap does.
. "$(dirname "$0")/../mounted/functions.sh"
. "$source_folder/../kernel/guest.sh"
build_guest || fail "no guest: Debian's kernel package could not be fetched"

load() { # FILE SEED: random writes of 4 KiB to 64 KiB
  fio --name=load --filename="$1" --rw=randwrite --bsrange=4k-64k --io_size=3m --ioengine=psync --randseed="$2" \
    --allow_file_create=0 --fsync=16 --buffer_compress_percentage=0 > "fio$2.txt" 2>&1 || { cat "fio$2.txt"; return 1; }
}
truncate -s 24M disk.img
load disk.img 1
serve disk.img d --layout chained
"$DMSNAP" create d oldest > out.txt 2> err.txt
load d/origin 2
"$DMSNAP" create d middle --chunk-size 16K > out.txt 2> err.txt
load d/origin 3
"$DMSNAP" create d gone > out.txt 2> err.txt
load d/origin 4
"$DMSNAP" create d newest > out.txt 2> err.txt
"$DMSNAP" create d clone --of middle > out.txt 2> err.txt
load d/origin 5
load d/snapshots/middle 6
load d/snapshots/clone 7
"$DMSNAP" remove d gone --wait
views=(newest middle oldest clone)
for view in "${views[@]}"; do
  sha "d/snapshots/$view" > "$view.sha"
  "$DMSNAP" status d "$view" --dm > "$view.status"
done
unserve d
cp --sparse=always disk.img guest.img
for view in "${views[@]}"; do cp --sparse=always "disk.img.dmsnap/$view.cow" "$view.guest.cow"; done

# newest over the origin, middle over newest, oldest and clone over middle
cat > job << 'JOB'
sectors=$(blockdev --getsz /dev/vda)
stack() { table $1 "0 $sectors snapshot $2 $3 PO 0"; }
stack newest /dev/vda /dev/vdb
stack middle /dev/mapper/newest /dev/vdc
stack oldest /dev/mapper/middle /dev/vdd
stack clone /dev/mapper/middle /dev/vde
for view in newest middle oldest clone; do
  echo "FACT $view status: $(dmsetup status $view)"
  echo "FACT $view sha: $(sha /dev/mapper/$view)"
done
for at in 5 600 1500 4097; do echo "the kernel writes at $at" | dd of=/dev/mapper/oldest bs=4096 seek=$at conv=notrunc,sync 2> /dev/null; done
echo "FACT oldest written: $(sha /dev/mapper/oldest)"
drop clone
drop oldest
drop middle
drop newest
JOB
images=(guest.img)
for view in "${views[@]}"; do images+=("$view.guest.cow"); done
run_guest job "${images[@]}" > guest.txt || fail "the guest failed: $(tail -20 guest.txt)"
for view in "${views[@]}"; do
  [ "$(fact "$view" sha)" = "$(cat "$view.sha")" ] || fail "$view: the kernel shows another content than dmsnap"
  [ "$(fact "$view" status)" = "$(cat "$view.status")" ] || fail "$view: the kernel says '$(fact "$view" status)', dmsnap '$(cat "$view.status")'"
done

# What the kernel wrote into a link, dmsnap shows, and the others as before.
cp oldest.guest.cow disk.img.dmsnap/oldest.cow
serve disk.img d
[ "$(sha d/snapshots/oldest)" = "$(fact oldest written)" ] || fail "dmsnap does not show what the kernel wrote to the oldest"
for view in newest middle clone; do
  [ "$(sha "d/snapshots/$view")" = "$(cat "$view.sha")" ] || fail "$view is not what it was"
done
unserve d
