#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Discards and zeroes: mkfs and fstrim over loop devices make image and COW files sparse again, what they zero reads as
# zeros, snapshots keep what was there, and SEEK_DATA and SEEK_HOLE never call data a hole. Over both transports.
. "$(dirname "$0")/functions.sh"
. "$source_folder/../support/io_uring_switch.sh"
trap 'status=$?; cd /; restore_io_uring; clean_up "$test_folder" > /dev/null || true; exit $status' EXIT

kib() { du -k "$1" | cut -f1; }
# Direct reads ask the daemon each time.
direct_sha() { dd if="$1" iflag=direct bs=1M status=none | sha256sum | cut -d' ' -f1; }
# mount_loop FILE FOLDER, unmount_loop FOLDER
mount_loop() { mount "$(losetup --find --show "$1")" "$2"; }
unmount_loop() {
  local loop
  loop=$(findmnt -n -o SOURCE "$1")
  umount "$1"
  losetup -d "$loop"
}
# seek_copy FROM TO: copies what is between holes, as cp does; then the two are compared
seek_copy() {
  python3 - "$1" "$2" <<'P' || fail "walking over the holes of $1"
import errno, os, sys
source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
size = os.lseek(source, 0, os.SEEK_END)
os.ftruncate(target, size)
assert os.lseek(source, 0, os.SEEK_DATA) == 0, "the beginning is data"
assert os.lseek(source, size - 1, os.SEEK_DATA) == size - 1, "the end is data"
at = 0
while at < size:
    begin = os.lseek(source, at, os.SEEK_DATA)
    at = os.lseek(source, begin, os.SEEK_HOLE)
    assert begin < at <= size, (begin, at)
    while begin < at:
        begin += os.pwrite(target, os.pread(source, min(at - begin, 1 << 20), begin), begin)
for whence in (os.SEEK_DATA, os.SEEK_HOLE):
    try:
        os.lseek(source, size, whence)
        raise SystemExit("nothing is behind the end")
    except OSError as error:
        assert error.errno == errno.ENXIO
P
  cmp "$1" "$2" || fail "a hole of $1 is no zeros"
}
# punch_mapped FILE: through a mapping that is dirty, and read through it and past it
punch_mapped() {
  python3 - "$1" <<'P' || fail "a punched range of a mapping"
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
fd = os.open(sys.argv[1], os.O_RDWR)
mapped = mmap.mmap(fd, 64 << 10)
mapped[:] = b"m" * len(mapped)
assert libc.fallocate(fd, 3, 4096, 40960) == 0, os.strerror(ctypes.get_errno())
wanted = b"m" * 4096 + bytes(40960) + b"m" * (len(mapped) - 45056)
assert mapped[:] == wanted, "through the mapping"
assert os.pread(fd, len(wanted), 0) == wanted, "through the file"
mapped.flush()
direct = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, len(wanted))
assert os.preadv(direct, [buffer], 0) == len(wanted) and buffer[:] == wanted, "through the daemon"
P
}

life() { # TRANSPORT
  rm -rf disk.img disk.img.dmsnap
  truncate -s 256M disk.img
  serve disk.img d --transport "$1"
  "$DMSNAP" create d empty > out.txt 2> err.txt
  # A discard of a whole empty device with a snapshot is no work.
  loop=$(losetup --find --show d/origin)
  blkdiscard "$loop"
  [ "$(kib disk.img)" -le 100 ] || fail "an empty image takes $(kib disk.img) KiB after a discard"
  [ "$("$DMSNAP" list d --json | jq '.[0].exceptions // 0')" -eq 0 ] || fail "holes were copied"
  losetup -d "$loop"
  mkfs.ext4 -q d/origin
  mount_loop d/origin live
  dd if=/dev/urandom of=live/large bs=1M count=80 status=none
  cp -a /etc live/etc 2> /dev/null || true
  sync -f live
  full=$(kib disk.img)
  "$DMSNAP" create d second > out.txt 2> err.txt
  second=$(direct_sha d/snapshots/second)

  # The origin is trimmed: the image shrinks, the snapshot has what was there.
  rm live/large
  sync -f live # until then its blocks are not free
  fstrim live
  sync -f live
  [ "$(kib disk.img)" -lt $((full - 75000)) ] || fail "fstrim: $full KiB became $(kib disk.img)"
  sleep 1.1 # attributes are believed for a second
  [ $(($(stat -c %b d/origin) / 2)) -lt $((full - 75000)) ] || fail "st_blocks of the origin is $(stat -c %b d/origin)"
  [ "$(direct_sha d/snapshots/second)" = "$second" ] || fail "the snapshot changed when the origin was trimmed"
  [ "$(direct_sha d/snapshots/empty)" = "$(head -c 256M /dev/zero | sha256sum | cut -d' ' -f1)" ] || fail "the empty snapshot is not empty"
  seek_copy d/origin copy.img
  seek_copy d/snapshots/second copy.img
  seek_copy d/snapshots/empty copy.img
  [ "$(kib copy.img)" -le 100 ] || fail "the copy of an empty snapshot takes $(kib copy.img) KiB"
  cp --sparse=auto d/origin copy.img
  cmp d/origin copy.img || fail "cp --sparse=auto"
  [ "$(kib copy.img)" -lt $((full - 75000)) ] || fail "cp --sparse=auto: $(kib copy.img) KiB"
  cp --sparse=always d/snapshots/second copy.img
  cmp d/snapshots/second copy.img || fail "cp --sparse=always"

  # So is the snapshot: its COW file shrinks, the origin has what it had.
  unmount_loop live
  origin=$(direct_sha d/origin)
  mount_loop d/snapshots/second old
  [ -s old/large ] || fail "the large file is not in the snapshot"
  sync -f old
  full=$(kib disk.img.dmsnap/second.cow)
  rm old/large
  sync -f old
  fstrim old
  unmount_loop old
  [ "$(kib disk.img.dmsnap/second.cow)" -lt $((full - 40000)) ] || fail "fstrim of the snapshot: $full KiB became $(kib disk.img.dmsnap/second.cow)"
  [ "$(direct_sha d/origin)" = "$origin" ] || fail "the origin changed when the snapshot was trimmed"
  e2fsck -fn d/snapshots/second > fsck.txt 2>&1 || fail "fsck of the snapshot: $(cat fsck.txt)"
  e2fsck -fn d/origin > fsck.txt 2>&1 || fail "fsck of the origin: $(cat fsck.txt)"

  # Zeroes are zeros, and what was flushed is there when the daemon is killed.
  second=$(direct_sha d/snapshots/second)
  dd if=/dev/urandom of=d/origin bs=1M count=8 seek=16 conv=notrunc,fsync status=none
  "$DMSNAP" create d third > out.txt 2> err.txt
  third=$(direct_sha d/snapshots/third)
  loop=$(losetup --find --show d/origin)
  blkdiscard -f -o 16M -l 1M "$loop"
  blkdiscard -f -z -o 18M -l 1M "$loop"
  losetup -d "$loop"
  fallocate -p -o $((20 << 20)) -l 12345 d/origin
  fallocate -z -o $((22 << 20)) -l 1M d/origin
  punch_mapped d/origin
  while read -r mib bytes; do
    cmp -n "$bytes" -i $((mib << 20)):0 d/origin /dev/zero || fail "what was zeroed at $mib MiB"
  done <<< $'16 1048576\n18 1048576\n20 12345\n22 1048576'
  [ "$(direct_sha d/snapshots/third)" = "$third" ] || fail "the snapshot changed when the origin was zeroed"
  sync d/origin
  origin=$(direct_sha d/origin)
  kill -9 "$(cat d.pid)"
  umount d
  serve disk.img d --transport "$1"
  [ "$(direct_sha d/origin)" = "$origin" ] || fail "the origin is not what was flushed before the daemon was killed"
  [ "$(direct_sha d/snapshots/second)" = "$second" ] || fail "the second snapshot is not what it was"
  [ "$(direct_sha d/snapshots/third)" = "$third" ] || fail "the third snapshot is not what it was"
}

# What is refused, and at the ends.
refusals() {
  expect_failure 1 "fallocate failed" fallocate -l 1M d/origin
  expect_failure 1 "keep size mode is unsupported" fallocate -n -o 0 -l 1M d/origin
  expect_failure 1 "Operation not supported" fallocate -c -o 0 -l 1M d/origin
  expect_failure 1 "File too large" fallocate -z -o 255M -l 2M d/origin
  fallocate -p -o 255M -l 2M d/origin
  [ "$(stat -c %s d/origin)" -eq $((256 << 20)) ] || fail "the size of the origin"
  "$DMSNAP" create --read-only d fixed > out.txt 2> err.txt
  expect_failure 1 "Read-only file system" fallocate -p -o 0 -l 1M d/snapshots/fixed
}

life dev-fuse
refusals
unserve d
# A mount that only reads.
serve disk.img d --read-only
expect_failure 1 "Read-only file system" fallocate -p -o 0 -l 1M d/origin
seek_copy d/snapshots/third copy.img
unserve d

if switch_io_uring Y; then
  life io_uring
  unserve d
fi
