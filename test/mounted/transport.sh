#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Requests come through /dev/fuse or over io_uring, as the kernel's switch and --transport say; status tells which. Over
# io_uring data is right, others go on while one waits, and the ends (umount, a busy umount, SIGTERM, SIGKILL) are as ever.
. "$(dirname "$0")/functions.sh"
. "$source_folder/verified_load.sh"
. "$source_folder/../support/io_uring_switch.sh"
trap 'status=$?; cd /; restore_io_uring; clean_up "$test_folder" > /dev/null || true; exit $status' EXIT

# transport_is WORD: in both forms of status
transport_is() {
  [ "$("$DMSNAP" status d --json | jq -r .transport)" = "$1" ] || fail "status --json: not '$1': $("$DMSNAP" status d --json)"
  grep -qx "transport   $1" d/.dmsnap/status || fail "status: not '$1': $(cat d/.dmsnap/status)"
}
truncate -s 64M disk.img
expect_failure 2 "--transport 'smoke': use auto, dev-fuse or io_uring" "$DMSNAP" mount --transport smoke disk.img d

serve disk.img d --transport dev-fuse
transport_is /dev/fuse
unserve d

if [ -z "$io_uring_before" ]; then
  expect_failure 1 "this kernel has no FUSE over io_uring" "$DMSNAP" mount --transport io_uring disk.img d
  serve disk.img d
  transport_is /dev/fuse
  unserve d
  exit 0
fi
switch_io_uring N || fail "$io_uring_switch cannot be written"
expect_failure 1 "as root: echo Y > $io_uring_switch" "$DMSNAP" mount --transport io_uring disk.img d
! mountpoint -q d || fail "refused, and mounted"
serve disk.img d
transport_is /dev/fuse
unserve d

switch_io_uring Y
serve disk.img d --transport dev-fuse
transport_is /dev/fuse
unserve d
serve disk.img d -o transport=io_uring
transport_is io_uring
# A mount keeps its transport when the switch goes off.
switch_io_uring N
dd if=d/origin of=/dev/null bs=1M iflag=direct status=none || fail "a mount over io_uring needs the switch"
unserve d
switch_io_uring Y

dd if=/dev/urandom of=disk.img bs=1M count=64 status=none
rm -rf disk.img.dmsnap
cp disk.img frozen.img
serve disk.img d
transport_is io_uring
"$DMSNAP" create d first > out.txt 2> err.txt
"$DMSNAP" create d third --chunk-size 16K > out.txt 2> err.txt
verified_load 'size=64m
randseed=5
[origin]
filename=d/origin
rw=randwrite
ioengine=psync
fsync=16
[first]
filename=d/snapshots/first
rw=randwrite
ioengine=libaio
iodepth=32'
# More at once than there are slots for one processor, most of them waiting for a flush.
for i in $(seq 220); do
  taskset -c 0 dd if=/dev/zero of=d/origin bs=4k count=1 seek=$((i * 70)) conv=notrunc,fsync status=none &
  syncers[i]=$!
done
for i in $(seq 220); do wait "${syncers[i]}" || fail "a write with fsync, $i of 220 at once"; done
third_is_frozen || fail "the third snapshot is not what it was"

# Busy: refused, and nothing is lost by it.
exec 7< d/origin
expect_failure 1 "in use by" "$DMSNAP" umount d
third_is_frozen || fail "after a refused umount"
# SIGTERM with a file open: out of the folder, and served until it is closed.
daemon=$(cat d.pid)
kill "$daemon"
for _ in $(seq 100); do mountpoint -q d || break; sleep 0.1; done
! mountpoint -q d || fail "still mounted after SIGTERM"
dd bs=1M count=1 status=none <&7 > /dev/null || fail "an open file is not served after SIGTERM"
exec 7<&-
for _ in $(seq 100); do [ -e "/proc/$daemon" ] || break; sleep 0.1; done
[ ! -e "/proc/$daemon" ] || fail "the daemon runs although its last file is closed"

# Killed under load: what was flushed is there, no mount is left that cannot be unmounted.
serve disk.img d
transport_is io_uring
third_is_frozen || fail "the third snapshot after mounting again"
dd if=/dev/zero of=d/snapshots/first bs=1M count=64 conv=notrunc,fsync status=none
(dd if=/dev/urandom of=d/snapshots/first bs=4k count=16384 conv=notrunc oflag=direct status=none 2> /dev/null || true) &
sleep 0.5
kill -9 "$(cat d.pid)"
wait $! || true
umount d || fail "the mount of a killed daemon cannot be unmounted"
serve disk.img d
third_is_frozen || fail "the third snapshot after the daemon was killed"
unserve d
