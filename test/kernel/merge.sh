#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A merge that dmsnap began, a Linux kernel goes on with, and the other way round: whoever ends it, the origin is what the
# snapshot was, with what was written to it meanwhile. Half merged, a store is still a snapshot that shows all of its content.
. "$(dirname "$0")/../mounted/functions.sh"
. "$source_folder/../kernel/guest.sh"
build_guest || fail "no guest: Debian's kernel package could not be fetched"

load() { # FILE SEED
  fio --name=load --filename="$1" --rw=randwrite --bsrange=4k-64k --io_size=8m --ioengine=psync --randseed="$2" \
    --allow_file_create=0 --fsync=16 --buffer_compress_percentage=0 > "fio$2.txt" 2>&1 || { cat "fio$2.txt"; return 1; }
}
# half_merged SET: until the half is copied back
half_merged() {
  local half
  half=$(($("$DMSNAP" list d --json | jq .[0].data_bytes) / 2))
  "$DMSNAP" merge d snap --bwlimit 4M 2> err.txt
  while [ "$("$DMSNAP" status d --json | jq .merge.left_bytes)" -gt "$half" ]; do sleep 0.05; done
  "$DMSNAP" merge d snap --pause
}
# Type, chunk size, and what becomes of the daemon in the middle.
sets=(P-4K-unmounted PO-4K-killed P-64K-unmounted)
for set in "${sets[@]}"; do
  IFS=- read -r type chunk end <<< "$set"
  truncate -s 24M "$set.img"
  load "$set.img" 1
  serve "$set.img" d
  "$DMSNAP" create d snap --chunk-size "$chunk" --type "$type" > out.txt 2> err.txt
  load d/origin 2
  load d/snapshots/snap 3
  half_merged "$set"
  "$DMSNAP" status d snap --dm > "$set.status"
  sha d/origin > "$set.snap.sha" # nothing was written since: it is the snapshot
  if [ "$end" = killed ]; then
    kill -9 "$(cat d.pid)" && rm d.pid
    "$DMSNAP" umount d 2> err.txt
    grep -q "had died" err.txt || fail "$set: the daemon was not killed: $(cat err.txt)"
  else
    unserve d 2> err.txt
  fi
  cp --sparse=always "$set.img" "$set.guest.img"
  cp --sparse=always "$set.img.dmsnap/snap.cow" "$set.guest.cow"
done

# As a snapshot it shows all; then the kernel goes on with the merge, while its origin is written, and stops before the end of one.
cat > job << 'JOB'
merged() { set -- $(dmsetup status merge); [ "${4%/*}" = "$5" ]; }
each() {
  sectors=$(blockdev --getsz $2)
  table snap "0 $sectors snapshot $2 $3 ${1%%-*} 0"
  echo "FACT $1 status: $(dmsetup status snap)"
  echo "FACT $1 snap: $(sha /dev/mapper/snap)"
  drop snap
  table merge "0 $sectors snapshot-merge $2 $3 ${1%%-*} 0"
  for at in 5 600 1500 4097; do echo "the kernel writes at $at" | dd of=/dev/mapper/merge bs=4096 seek=$at conv=notrunc,sync 2> /dev/null; done
  [ $1 = P-64K-unmounted ] || for try in $(seq 600); do merged && break; sleep 0.1; done
  sync
  echo "FACT $1 merging: $(dmsetup status merge)"
  echo "FACT $1 origin: $(sha /dev/mapper/merge)"
  drop merge
  echo "FACT $1 device: $(sha $2)"
}
JOB
run_guest_on_sets job "${sets[@]}"
for set in "${sets[@]}"; do
  [ "$(fact "$set" status)" = "$(sed s/-merge// "$set.status")" ] || fail "$set: the kernel says '$(fact "$set" status)', dmsnap '$(cat "$set.status")'"
  [ "$(fact "$set" snap)" = "$(cat "$set.snap.sha")" ] || fail "$set: half merged, the kernel shows another content than dmsnap"
  # dmsnap goes on where the kernel was: at the end, or before it
  cp "$set.guest.img" "$set.img"
  cp "$set.guest.cow" "$set.img.dmsnap/snap.cow"
  serve --force "$set.img" d 2> err.txt
  [ "$(sha d/origin)" = "$(fact "$set" origin)" ] || fail "$set: what the kernel left shows another content than in the kernel"
  "$DMSNAP" wait d
  [ "$(sha d/origin)" = "$(fact "$set" origin)" ] || fail "$set: after the merge the origin is not what it was during it"
  unserve d
  [ "$(sha "$set.img")" = "$(fact "$set" origin)" ] || fail "$set: the origin's file is not what it shows"
  [ "$set" = P-64K-unmounted ] || [ "$(fact "$set" device)" = "$(fact "$set" origin)" ] || fail "$set: the kernel did not end the merge: $(fact "$set" merging)"
done
