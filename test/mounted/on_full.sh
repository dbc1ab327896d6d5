#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What writers get on a full store. --on-full=refuse: a program that tries again on ENOSPC gets through once there is room, and
# no snapshot is given up. --on-full=wait: a loop-mounted ext4 goes on, with nothing lost, after room was made on the disk below,
# by a larger COW file, or by removing a snapshot; whatever makes room works meanwhile, so do unmounting and SIGTERM. Resizing is
# durable, and refused where something would be lost. Over /dev/fuse, and over io_uring where the kernel has it.
. "$(dirname "$0")/functions.sh"
. "$source_folder/../support/io_uring_switch.sh"
trap 'status=$?; cd /; restore_io_uring; clean_up "$test_folder" > /dev/null || true; exit $status' EXIT
mkdir small
mount -t tmpfs -o size=20M none small
store=$PWD/small/set
create() { "$DMSNAP" create "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }
status() { "$DMSNAP" status d --json | jq -r "$1"; }
state() { "$DMSNAP" status d "$1" --json | jq -r .state; }
until_true() { # COMMAND...: what must come
  for ((tries = 0; tries < 600; ++tries)); do
    ! "$@" || return 0
    sleep 0.1
  done
  fail "does not come: $*: $("$DMSNAP" status d)"
}
waits() { [ "$(status .waiting_writes)" -gt 0 ]; }
warned() { "$DMSNAP" status d | grep -q "^warning  *$1"; }
ended() { ! kill -0 "$1" 2> /dev/null; }
begin() { # POLICY [OPTION...]: anew
  truncate -s 24M disk.img
  mkfs.ext4 -q -F -E lazy_itable_init=0 -b 4096 -J size=4 disk.img
  cat disk.img > full.img # without holes: what is copied of it takes room
  serve full.img d --store "$store" --on-full="$@"
}
end() {
  unserve d
  rm -r "$store"
}
fill_disk() { dd if=/dev/zero of=small/filler bs=64K status=none 2> /dev/null || true; }
# what is written to the origin by a filesystem in it, more than there is room for; the sum of it is in `sums`
write_files() {
  for i in $(seq 8); do head -c 1M /dev/urandom > live/file$i || return 1; done
  sync live/file1 && sync -f live || return 1
  (cd live && sha256sum file*) > sums
}
check_files() { # nothing is lost, and the filesystem is sound
  umount live
  losetup -d "$loop"
  e2fsck -fn full.img > out.txt 2>&1 || fail "$1: the filesystem is damaged: $(cat out.txt)"
  unserve d
  mount -o loop,ro full.img live
  (cd live && sha256sum --quiet -c ../sums) || fail "$1: a file is not what was written"
  umount live
  serve full.img d --store "$store"
  cmp d/snapshots/snap frozen.img || fail "$1: the snapshot does not show what it kept"
  end
}
loop_mount() {
  cp full.img frozen.img
  loop=$(losetup --show -f d/origin)
  mount "$loop" live
}

one_round() {
  # refuse: a program that tries again
  begin refuse
  create d snap --size 1M
  cp full.img frozen.img
  cp full.img expected.img
  dd if=/dev/urandom of=new bs=4K count=600 status=none
  cat > retry.py << 'END'
import errno, os, sys, time
data = open("new", "rb").read()
fd = os.open("d/origin", os.O_WRONLY)
at = 0
while at < len(data):
    try:
        at += os.pwrite(fd, data[at:at + 4096], at)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        open("refused", "w").close()
        time.sleep(0.05)
os.fsync(fd)
END
  rm -f refused
  python3 retry.py &
  program=$!
  until_true test -e refused
  [ "$(state snap)" = active ] || fail "a refused write cost the snapshot: $(state snap)"
  [ "$(status .on_full)" = refuse ] || fail "status says $(status .on_full)"
  until_true warned "snapshot 'snap' is .*dmsnap resize"
  grep -q "snapshot 'snap' is .*% full.*dmsnap resize" log || fail "no warning in the log"
  "$DMSNAP" resize d snap +2M || fail "resize"
  wait $program || fail "the program that tries again failed"
  dd if=new of=expected.img conv=notrunc bs=1M status=none
  cmp d/origin expected.img && cmp d/snapshots/snap frozen.img || fail "refuse: not what was written"
  # by the disk below, and once more
  fill_disk
  "$DMSNAP" resize d snap 100% || fail "resize to 100 % on a full disk"
  dd if=new of=d/origin bs=4K seek=1500 count=600 conv=notrunc status=none 2> err.txt && fail "writes on a full disk succeed"
  grep -q "No space" err.txt || fail "not ENOSPC: $(cat err.txt)"
  [ "$(state snap)" = active ] || fail "a full disk cost the snapshot"
  rm small/filler
  dd if=new of=d/origin bs=4K seek=1500 count=600 conv=notrunc,fsync status=none || fail "room was made, but not for the writer"
  cmp d/snapshots/snap frozen.img || fail "refuse: the snapshot is not what it was"
  # its own writers: refused, not overflowed
  fill_disk
  dd if=new of=d/snapshots/snap bs=4K seek=3000 count=600 conv=notrunc status=none 2> err.txt && fail "own writes on a full disk succeed"
  [ "$(state snap)" = active ] || fail "an own write that was refused left $(state snap)"
  rm small/filler
  end

  # wait: the disk below is full, and a file on it is deleted
  begin wait=forever
  create d snap
  loop_mount
  fill_disk
  write_files &
  writer=$!
  until_true waits
  expect_failure 1 "writes wait for room" "$DMSNAP" create d more
  expect_failure 1 "in use by" "$DMSNAP" umount d
  head -c 4096 d/snapshots/snap > out.txt || fail "a read of a snapshot waits, too"
  "$DMSNAP" status d | grep -q "^waiting  " || fail "status does not say that writes wait"
  grep -q "writes wait for room: the filesystem of the COW file is full" log || fail "the log does not say why"
  [ "$(state snap)" = active ] || fail "the snapshot was given up"
  rm small/filler
  wait $writer || fail "the writer did not go on"
  [ "$(status .waiting_writes)" = 0 ] || fail "somebody waits still"
  check_files "wait, rm"

  # a snapshot is removed
  begin wait=forever
  create d snap
  create d small --size 512K
  loop_mount
  write_files &
  writer=$!
  until_true waits
  "$DMSNAP" remove d small || fail "remove while writes wait"
  wait $writer || fail "the writer did not go on after remove"
  check_files "wait, remove"

  # it becomes larger
  begin wait=forever
  create d snap --size 512K
  loop_mount
  write_files &
  writer=$!
  until_true waits
  "$DMSNAP" resize d snap 16M || fail "resize while writes wait"
  wait $writer || fail "the writer did not go on after resize"
  check_files "wait, resize"

  # the time is over: the kernel's rule
  begin wait=1
  create d snap --size 256K
  dd if=new of=d/origin bs=4K count=200 conv=notrunc,fsync status=none || fail "after its time a writer fails"
  [ "$(state snap)" = invalid ] || fail "after its time the snapshot is $(state snap)"
  cmp -n $((200 * 4096)) d/origin new || fail "after its time: the origin is not what was written"
  end

  # SIGTERM while many wait: the origin goes on, and the daemon ends
  begin wait=forever
  create d snap --size 256K
  for i in $(seq 20); do
    dd if=new of=d/origin bs=4K count=20 seek=$((i * 100)) conv=notrunc,fsync status=none &
    writers[i]=$!
  done
  until_true waits
  daemon=$(cat d.pid)
  kill -TERM "$daemon"
  for i in $(seq 20); do wait "${writers[i]}" || fail "writer $i failed after SIGTERM"; done
  until_true ended "$daemon"
  rm d.pid
  cmp -n $((20 * 4096)) <(dd if=full.img bs=4K skip=2000 status=none) new || fail "SIGTERM: a write is lost"
  serve full.img d --store "$store"
  [ "$(state snap)" = invalid ] || fail "after SIGTERM the snapshot is $(state snap)"
  end
}
switch_io_uring N || true
one_round
if switch_io_uring Y; then
  one_round
  restore_io_uring
fi

# a warning at each 5 % from 80 on, once each, in the log; and what is full is told at the next mount
begin invalidate
create d step --size 400K # 100 chunks
for chunk in $(seq 97); do dd if=/dev/zero of=d/origin bs=4K seek=$chunk count=1 conv=notrunc,fsync status=none; done
for percent in 80 85 90 95; do
  [ "$(grep -c "'step' is $percent% full" log)" = 1 ] || fail "at $percent %: $(grep step log)"
done
[ "$(grep -c "'step' is .*% full" log)" = 4 ] || fail "more than each 5 %: $(grep step log)"
[ "$(status '.warnings | length')" = 1 ] || fail "status: $("$DMSNAP" status d --json)"
unserve d
rm log
serve full.img d --store "$store" 2> err.txt
grep -q "'step' is .*% full" err.txt && grep -q "'step' is .*% full" log || fail "not told at the next mount: $(cat err.txt)"
end

# resizing: smaller where nothing is lost, else refused; durable; recorded
begin invalidate
create d snap --size 4M
cp full.img frozen.img
dd if=new of=d/origin bs=4K count=300 conv=notrunc,fsync status=none
expect_failure 1 "needs at least" "$DMSNAP" resize d snap 1M
[ "$(stat -c %s small/set/snap.cow)" = 4194304 ] || fail "a refused resize changed the file"
"$DMSNAP" resize d snap 2M
[ "$(stat -c %s small/set/snap.cow)" = 2097152 ] || fail "the file has $(stat -c %s small/set/snap.cow) bytes"
expect_failure 1 "too few" "$DMSNAP" resize d snap 4K
expect_failure 1 "no snapshot" "$DMSNAP" resize d other 4M
kill -9 "$(cat d.pid)"
rm d.pid
serve full.img d --store "$store"
[ "$("$DMSNAP" status d snap --json | jq .total_bytes)" = 2097152 ] || fail "the length is not durable"
cmp d/snapshots/snap frozen.img || fail "after a resize and a kill"
# an overflowed one takes writes again, once nobody has it open
exec 5<> d/snapshots/snap
dd if=/dev/urandom of=d/snapshots/snap bs=4K seek=1000 count=400 conv=notrunc status=none 2> err.txt && fail "it does not overflow"
[ "$(state snap)" = overflow ] || fail "overflowed, it is $(state snap)"
"$DMSNAP" resize d snap 8M 2> err.txt
grep -q "somebody has it open" err.txt && [ "$(state snap)" = overflow ] || fail "open, it takes writes again: $(cat err.txt)"
exec 5>&-
until_true "$DMSNAP" resize d snap 8M
[ "$(state snap)" = active ] || fail "resized, it is $(state snap)"
dd if=new of=d/snapshots/snap bs=4K seek=1400 count=100 conv=notrunc,fsync status=none || fail "resized, it takes no writes"
end
expect_failure 2 "use invalidate, refuse, wait=SECONDS or wait=forever" "$DMSNAP" mount full.img d --store "$store" --on-full=never
umount small
