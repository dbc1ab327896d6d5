#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# However a mount ends, the daemon ends with everything on disk: dmsnap umount, its helper for umount(8), fusermount3 -u,
# umount(2) alone, SIGTERM, SIGINT. Busy mounts are kept, and say who keeps them.
. "$(dirname "$0")/functions.sh"
truncate -s 4M disk.img
ln -s "$DMSNAP" umount.fuse.dmsnap
ln -s "$DMSNAP" mount.fuse.dmsnap

gone() { ! grep -q '^State:[[:space:]]*[A-Y]' "/proc/$1/status" 2> /dev/null; } # perhaps not yet reaped
ended() {                                                                    # PID: within ten seconds
  for _ in $(seq 100); do
    ! gone "$1" || return 0
    sleep 0.1
  done
  fail "the daemon did not end"
}
closed() { [ "$(jq -r .state disk.img.dmsnap/set.json)" = closed ] || fail "the set was not closed after $1"; }

number=0
for way in "$DMSNAP umount d" "./umount.fuse.dmsnap $PWD/d" "fusermount3 -u d" "umount -i d" TERM INT; do
  serve disk.img d
  pid=$(cat d.pid)
  [ "$number" -gt 0 ] || "$DMSNAP" create d snap > out.txt 2> err.txt
  number=$((number + 1))
  yes "$number" | head -c 100000 | dd of=d/origin bs=1000 conv=notrunc status=none
  case $way in
    TERM | INT) kill -"$way" "$pid" ;;
    *) $way ;;
  esac
  case $way in "$DMSNAP"* | ./umount*) gone "$pid" || fail "$way returned before the daemon was gone" ;; esac
  ended "$pid"
  closed "$way"
  yes "$number" | head -c 100000 | cmp -n 100000 - disk.img || fail "$way: what was written is not in the image"
  ! mountpoint -q d || fail "$way: still mounted"
  rm -f d.pid
done

# busy: refused, with the holder's name, and everything goes on
serve disk.img d
exec 3< d/origin
expect_failure 1 "in use" "$DMSNAP" umount d
grep -q "process $$" err.txt || fail "does not say who: $(cat err.txt)"
cmp -s -n 1000 d/origin disk.img || fail "the mount does not work any more"

# SIGTERM with a file open: detached at once, the file is served until it is closed
pid=$(cat d.pid)
kill -TERM "$pid"
for _ in $(seq 100); do mountpoint -q d || break; sleep 0.1; done
! mountpoint -q d || fail "not detached"
! gone "$pid" || fail "the daemon has gone although a file is open"
expect_failure 1 "being closed by process $pid" "$DMSNAP" mount disk.img d
grep -q "process $$ (.*): open file origin" err.txt || fail "does not say who has what open: $(cat err.txt)"
[ "$(wc -l < err.txt)" -eq 1 ] || fail "not one line: $(cat err.txt)"
head -c 1000 <&3 > read.txt || fail "the open file is not served"
cmp -n 1000 read.txt disk.img
exec 3<&-
ended "$pid"
closed "SIGTERM with an open file"

# a mount that comes while the last daemon is still closing waits for it
serve disk.img d
exec 3< d/origin
kill -TERM "$(cat d.pid)"
for _ in $(seq 100); do mountpoint -q d || break; sleep 0.1; done
sleep 1 & # the last one that has it open
exec 3<&-
serve disk.img d
unserve d

# through mount(8)'s helper, with fstab's options
./mount.fuse.dmsnap disk.img d -o "ro,nofail,log-file=$PWD/log"
daemon_of d > d.pid
expect_failure 1 "" dd if=/dev/zero of=d/origin bs=512 count=1 conv=notrunc
unserve d

# mount(8) and umount(8) find the helpers by themselves, here in a /usr/sbin that only this test sees
cat > helpers.sh << 'SCRIPT'
mount -t tmpfs none old
mkdir old/upper old/work
for helper in mount umount; do ln -s "$DMSNAP" old/upper/$helper.fuse.dmsnap; done
mount -t overlay -o lowerdir=/usr/sbin,upperdir=old/upper,workdir=old/work none /usr/sbin
mount -t fuse.dmsnap -o "log-file=$PWD/log" disk.img d
"$DMSNAP" status d --json | jq .pid > d.pid
yes helped | head -c 100000 | dd of=d/origin bs=1000 conv=notrunc status=none
umount d
SCRIPT
unshare --mount bash -eu helpers.sh || fail "mount(8) or umount(8) with the helpers installed"
gone "$(cat d.pid)" || fail "umount(8) returned before the daemon was gone"
rm d.pid
closed "umount(8)"
yes helped | head -c 100000 | cmp -n 100000 - disk.img || fail "umount(8): what was written is not in the image"

# dead mount points are cleaned up
serve disk.img d
kill -9 "$(cat d.pid)"
ended "$(cat d.pid)"
serve disk.img d
cmp -s -n 1000 d/origin disk.img || fail "not served after a dead mount was cleaned up"
# also when its process is only about to end: it answers once more, or not, or has the set still
for try in 1 2 3 4 5 6 7 8 9 10; do
  kill -9 "$(cat d.pid)"
  until "$DMSNAP" mount --log-file log disk.img d 2> err.txt; do
    ! grep -q "whose process is gone\|detach it" err.txt || fail "a dead mount was not cleaned up: $(cat err.txt)"
  done
  daemon_of d > d.pid
done
unserve d

# room that was taken ahead for copies is given back
truncate -s 32M large.img
serve large.img d
"$DMSNAP" create d snap > out.txt 2> err.txt
dd if=/dev/urandom of=d/origin bs=64K count=16 conv=notrunc,fsync status=none
[ "$(stat -c %b large.img.dmsnap/snap.cow)" -gt 20000 ] || fail "nothing was taken ahead"
unserve d
[ "$(stat -c %b large.img.dmsnap/snap.cow)" -lt 2200 ] || fail "1 MiB of copies takes $(stat -c %b large.img.dmsnap/snap.cow) sectors"
serve large.img d
cmp -n 1M d/snapshots/snap /dev/zero || fail "a copy was given back, too"
dd if=/dev/urandom of=d/origin bs=64K count=32 conv=notrunc,fsync status=none
cmp -n 2M d/snapshots/snap /dev/zero || fail "what is copied after that is not right"
unserve d
