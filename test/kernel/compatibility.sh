#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What dmsnap wrote, a Linux kernel activates: the same content, the same status line, for chunk sizes from 4 KiB to 512 KiB,
# after an unmount and after SIGKILL. The kernel writes on, and dmsnap reads the result; the kernel merges, and the origin is
# the snapshot.
. "$(dirname "$0")/../mounted/functions.sh"
. "$source_folder/../kernel/guest.sh"
build_guest || fail "no guest: Debian's kernel package could not be fetched"

load() { # FILE SEED: random writes of 4 KiB to 256 KiB
  fio --name=load --filename="$1" --rw=randwrite --bsrange=4k-256k --size=24m --io_size=8m --ioengine=psync --randseed="$2" \
    --allow_file_create=0 --fsync=16 --buffer_compress_percentage=0 > fio.txt 2>&1 || fail "$(cat fio.txt)"
}

# Four sets, written by dmsnap. What the guest gets are copies; the last one is copied after the daemon was killed.
sets=(4K 64K 512K killed)
for set in "${sets[@]}"; do
  chunk=$set
  [ "$set" != killed ] || chunk=4K
  dd if=/dev/urandom of="$set.img" bs=1M count=24 status=none
  serve "$set.img" d
  "$DMSNAP" create d snap --chunk-size "$chunk" --type P > out.txt 2> err.txt
  load d/origin 1
  load d/snapshots/snap 2
  load d/origin 3
  sync d/origin d/snapshots/snap
  if [ "$set" = killed ]; then
    kill -9 "$(cat d.pid)"
    umount -l d
  else
    unserve d
  fi
  cp "$set.img" "$set.guest.img"
  cp "$set.img.dmsnap/snap.cow" "$set.guest.cow"
  serve "$set.img" d
  "$DMSNAP" status d snap --dm > "$set.status"
  sha d/snapshots/snap > "$set.snap.sha"
  sha d/origin > "$set.origin.sha"
  cp d/snapshots/snap "$set.snap.img"
  unserve d
done

# In the guest: activate, look, write on, look again. One line of facts for each.
cat > job << 'JOB'
sectors=$(blockdev --getsz /dev/vda)
look() { echo "FACT $1 $2 status: $(dmsetup status snap)"; echo "FACT $1 $2 snap: $(sha /dev/mapper/snap)"; }
each() { # NAME ORIGIN COW
  table snap "0 $sectors snapshot $2 $3 P 0"
  table live "0 $sectors snapshot-origin $2"
  look $1 before
  for at in 3 700 701 1500 5000; do echo "$1 writes to the snapshot at $at" | dd of=/dev/mapper/snap bs=4096 seek=$at conv=notrunc,sync 2> /dev/null; done
  for at in 3 9 10 11 2000 4444; do echo "$1 writes to the origin at $at" | dd of=/dev/mapper/live bs=4096 seek=$at conv=notrunc,sync 2> /dev/null; done
  sync
  look $1 after
  echo "FACT $1 after origin: $(sha /dev/mapper/live)"
  drop live
  drop snap
}
each 4K /dev/vda /dev/vdb
each 64K /dev/vdc /dev/vdd
each 512K /dev/vde /dev/vdf
each killed /dev/vdg /dev/vdh
JOB
images=()
for set in "${sets[@]}"; do images+=("$set.guest.img" "$set.guest.cow"); done
run_guest job "${images[@]}" > guest.txt || fail "the guest failed: $(tail -20 guest.txt)"
fact() { sed -n "s/^FACT $1 $2 $3: //p" guest.txt; }
for set in "${sets[@]}"; do
  [ "$(fact "$set" before status)" = "$(cat "$set.status")" ] || fail "$set: the kernel says '$(fact "$set" before status)', dmsnap '$(cat "$set.status")'"
  [ "$(fact "$set" before snap)" = "$(cat "$set.snap.sha")" ] || fail "$set: the kernel shows another content than dmsnap"
  # what the kernel wrote on
  "$DMSNAP" check -q "$set.guest.cow" --origin "$set.guest.img" || fail "$set: the kernel's store is not sound: $("$DMSNAP" check "$set.guest.cow")"
  serve "$set.guest.img" d --attach snap="$PWD/$set.guest.cow"
  [ "$("$DMSNAP" status d snap --dm)" = "$(fact "$set" after status)" ] || fail "$set: after the kernel's writes: '$("$DMSNAP" status d snap --dm)', the kernel said '$(fact "$set" after status)'"
  [ "$(sha d/snapshots/snap)" = "$(fact "$set" after snap)" ] || fail "$set: dmsnap shows another content than the kernel wrote"
  [ "$(sha d/origin)" = "$(fact "$set" after origin)" ] || fail "$set: the origin is not what the kernel wrote"
  # and back: dmsnap goes on in the kernel's store
  load d/origin 4
  load d/snapshots/snap 5
  sha d/snapshots/snap > "$set.merged.sha"
  unserve d
done

# The kernel merges what both wrote.
cat > job << 'JOB'
sectors=$(blockdev --getsz /dev/vda)
each() {
  table merge "0 $sectors snapshot-merge $2 $3 P 0"
  for try in $(seq 600); do
    set -- $1 $2 $3 $(dmsetup status merge | cut -d' ' -f4-)
    [ "${4%/*}" = "$5" ] && break
    sleep 0.1
  done
  echo "FACT $1 merged status: $4 $5"
  drop merge
  echo "FACT $1 merged origin: $(sha $2)"
}
each 4K /dev/vda /dev/vdb
each 64K /dev/vdc /dev/vdd
each 512K /dev/vde /dev/vdf
each killed /dev/vdg /dev/vdh
JOB
run_guest job "${images[@]}" > guest.txt || fail "the guest failed: $(tail -20 guest.txt)"
for set in "${sets[@]}"; do
  [ "$(fact "$set" merged origin)" = "$(cat "$set.merged.sha")" ] || fail "$set: merged by the kernel, the origin is not the snapshot: $(fact "$set" merged status)"
done
