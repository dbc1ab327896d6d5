#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whichever of the descriptors 0 to 2 a caller has closed: a mount returns and ends as always, and no message lands in the
# image or the store.
. "$(dirname "$0")/functions.sh"
head -c 4M /dev/urandom > disk.img
cp disk.img frozen.img

mounted() { # waits for a mount in front
  for _ in $(seq 100); do
    ! mountpoint -q d || return 0
    sleep 0.1
  done
  fail "closed $closed: not mounted in front"
}
used() { # takes and drops a snapshot, unmounts
  "$DMSNAP" create d snap > out.txt 2> err.txt || fail "closed $closed: create: $(cat err.txt)"
  cmp -s d/snapshots/snap frozen.img || fail "closed $closed: the snapshot is not the image"
  "$DMSNAP" remove d snap
  "$DMSNAP" umount d || fail "closed $closed: umount"
  rm -f d.pid
  cmp disk.img frozen.img || fail "closed $closed: the image has changed"
}
for closed in '0<&-' '1>&-' '2>&-' '0<&- 1>&-' '0<&- 2>&-' '1>&- 2>&-' '0<&- 1>&- 2>&-'; do
  eval 'timeout 30 "$DMSNAP" mount disk.img d '"$closed" || fail "closed $closed: mount: exit status $?"
  daemon_of d > d.pid
  used
  eval '"$DMSNAP" mount -f disk.img d '"$closed &"
  echo $! > d.pid
  daemon=$!
  mounted
  used
  wait $daemon || fail "closed $closed: a mount in front ends with $?"
done

# What cannot be printed is a failure, as with any other program.
! "$DMSNAP" check --help >&- 2> err.txt || fail "printed to nowhere"
