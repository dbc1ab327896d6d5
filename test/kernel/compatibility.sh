#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What dmsnap wrote, a Linux kernel activates: the same content, the same status line, for chunk sizes from 4 KiB to 512 KiB,
# after an unmount and after SIGKILL in the middle of writes. The kernel writes on, and dmsnap reads the result; dmsnap goes on in
# that; the kernel merges, and the origin is the snapshot and the store is empty.
. "$(dirname "$0")/../mounted/functions.sh"
. "$source_folder/../kernel/guest.sh"
build_guest || fail "no guest: Debian's kernel package could not be fetched"

# Type, chunk size, MiB of origin, end of the daemon. More than one metadata area needs 1 MiB of copies at 4K and 256 MiB at 64K;
# at 512K it would need 16 GiB, so there is one.
sets=(P-4K-24-unmounted PO-64K-258-unmounted P-512K-24-unmounted PO-4K-24-killed P-64K-24-killed PO-512K-24-killed)

load() { # FILE SEED OPTION...: random writes of 4 KiB to 256 KiB
  fio --name=load --filename="$1" --rw=randwrite --bsrange=4k-256k --io_size=8m --ioengine=psync --randseed="$2" \
    --allow_file_create=0 --fsync=16 --buffer_compress_percentage=0 "${@:3}" > "fio$2.txt" 2>&1 || { cat "fio$2.txt"; return 1; }
}
stripe() { # FILE SEED: 4 KiB in each 64 KiB
  load "$1" "$2" --bsrange=4k-4k --rw=write:60k --io_size=100%
}
# Two loads that do not end by themselves are in the middle of something when the daemon dies.
kill_under_load() {
  local before loads=() load
  before=$("$DMSNAP" status d snap --dm)
  load d/origin 1 --time_based --runtime=100 > origin.txt & loads+=($!)
  load d/snapshots/snap 2 --time_based --runtime=100 > snap.txt & loads+=($!)
  while [ "$("$DMSNAP" status d snap --dm)" = "$before" ]; do
    kill -0 "${loads[@]}" || fail "$set: a load ended at once: $(cat origin.txt snap.txt)"
  done
  sleep "0.0$((RANDOM % 10))"
  kill -9 "$(cat d.pid)" && rm d.pid
  for load in "${loads[@]}"; do ! wait "$load" || fail "$set: a load had ended before the daemon was killed"; done
  "$DMSNAP" umount d 2> err.txt
  grep -q "had died" err.txt || fail "$set: the daemon was not killed: $(cat err.txt)"
}

# Sets, written by dmsnap. What the guest gets are copies, made before anybody looks at what a killed daemon has left.
for set in "${sets[@]}"; do
  IFS=- read -r type chunk size end <<< "$set"
  truncate -s "${size}M" "$set.img"
  stripe "$set.img" 1
  serve "$set.img" d
  "$DMSNAP" create d snap --chunk-size "$chunk" --type "$type" > out.txt 2> err.txt
  if [ "$end" = killed ]; then
    kill_under_load
  else
    load d/origin 1
    load d/snapshots/snap 2
    stripe d/origin 3
    unserve d
  fi
  cp --sparse=always "$set.img" "$set.guest.img"
  cp --sparse=always "$set.img.dmsnap/snap.cow" "$set.guest.cow"
  serve "$set.img" d
  "$DMSNAP" status d snap --dm > "$set.status"
  sha d/snapshots/snap > "$set.snap.sha"
  sha d/origin > "$set.origin.sha"
  unserve d
  [ "$(sha "$set.guest.img")" = "$(cat "$set.origin.sha")" ] || fail "$set: the origin's file is not what dmsnap shows"
  [[ $set != *4K-*-unmounted ]] || [ "$("$DMSNAP" check --json "$set.guest.cow" | jq .areas)" -gt 1 ] || fail "$set: one metadata area only"
done

# Activate, look, write on, look again.
cat > job << 'JOB'
look() {
  echo "FACT $1 $2 status: $(dmsetup status snap)"
  echo "FACT $1 $2 snap: $(sha /dev/mapper/snap)"
}
each() {
  sectors=$(blockdev --getsz $2)
  last=$((sectors / 8 - 1))
  table snap "0 $sectors snapshot $2 $3 ${1%%-*} 0"
  table live "0 $sectors snapshot-origin $2"
  look $1 before
  for at in 3 700 701 1500 5000 $last; do echo "$1 writes to the snapshot at $at" | dd of=/dev/mapper/snap bs=4096 seek=$at conv=notrunc,sync 2> /dev/null; done
  for at in 3 9 10 11 2000 4444 $last; do echo "$1 writes to the origin at $at" | dd of=/dev/mapper/live bs=4096 seek=$at conv=notrunc,sync 2> /dev/null; done
  sync
  look $1 after
  echo "FACT $1 after origin: $(sha /dev/mapper/live)"
  drop live
  drop snap
}
JOB
run_guest_on_sets job "${sets[@]}"
for set in "${sets[@]}"; do
  [ "$(fact "$set" before status)" = "$(cat "$set.status")" ] || fail "$set: the kernel says '$(fact "$set" before status)', dmsnap '$(cat "$set.status")'"
  [ "$(fact "$set" before snap)" = "$(cat "$set.snap.sha")" ] || fail "$set: the kernel shows another content than dmsnap"
  # what the kernel wrote on
  "$DMSNAP" check -q "$set.guest.cow" --origin "$set.guest.img" || fail "$set: the kernel's store is not sound: $("$DMSNAP" check "$set.guest.cow")"
  serve "$set.guest.img" d --attach snap="$PWD/$set.guest.cow"
  [ "$("$DMSNAP" status d snap --dm)" = "$(fact "$set" after status)" ] || fail "$set: after the kernel's writes: '$("$DMSNAP" status d snap --dm)', the kernel said '$(fact "$set" after status)'"
  [ "$(sha d/snapshots/snap)" = "$(fact "$set" after snap)" ] || fail "$set: dmsnap shows another content than the kernel wrote"
  [ "$(sha d/origin)" = "$(fact "$set" after origin)" ] || fail "$set: the origin is not what the kernel wrote"
  [ "$(fact "$set" after snap)" != "$(cat "$set.snap.sha")" ] || fail "$set: the kernel wrote nothing to the snapshot"
  [ "$(fact "$set" after origin)" != "$(cat "$set.origin.sha")" ] || fail "$set: the kernel wrote nothing to the origin"
  # and back: dmsnap goes on in the kernel's store
  load d/origin 6
  load d/snapshots/snap 7
  sha d/snapshots/snap > "$set.merged.sha"
  unserve d
done

# The kernel merges what both wrote.
cat > job << 'JOB'
merged() { set -- $(dmsetup status merge); [ "${4%/*}" = "$5" ]; }
each() {
  table merge "0 $(blockdev --getsz $2) snapshot-merge $2 $3 ${1%%-*} 0"
  for try in $(seq 600); do merged && break; sleep 0.1; done
  echo "FACT $1 merged status: $(dmsetup status merge)"
  drop merge
  echo "FACT $1 merged origin: $(sha $2)"
}
JOB
run_guest_on_sets job "${sets[@]}"
for set in "${sets[@]}"; do
  [ "$(fact "$set" merged origin)" = "$(cat "$set.merged.sha")" ] || fail "$set: merged by the kernel, the origin is not the snapshot: $(fact "$set" merged status)"
  [ "$("$DMSNAP" check --json "$set.guest.cow" --origin "$set.guest.img" | jq -c '[.sound, .exceptions]')" = "[true,0]" ] || fail "$set: what the kernel merged is not empty: $("$DMSNAP" check "$set.guest.cow")"
  # dmsnap has not seen the origin change: forget what it knows of it
  rm -r "$set.guest.img.dmsnap"
  serve "$set.guest.img" d --attach snap="$PWD/$set.guest.cow"
  [ "$("$DMSNAP" status d snap --dm)" = "$(fact "$set" merged status | sed s/-merge//)" ] || fail "$set: after the merge: '$("$DMSNAP" status d snap --dm)', the kernel said '$(fact "$set" merged status)'"
  [ "$(sha d/snapshots/snap)" = "$(cat "$set.merged.sha")" ] || fail "$set: the merged snapshot is not its origin"
  unserve d
done
