#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Filesystems that are mounted from the origin or from a snapshot are frozen while a snapshot is taken: it is clean, under any
# load, as many times as one likes. What cannot be frozen is told, and whatever dies, nothing stays frozen.
. "$(dirname "$0")/functions.sh"
rounds=${DMSNAP_FREEZES:-20}

create() { "$DMSNAP" create d "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }
# A loop device lets go of its file a little after the unmount.
drop() {
  for _ in $(seq 100); do
    if "$DMSNAP" remove d "$1" 2> err.txt; then return 0; fi
    sleep 0.05
  done
  fail "remove $1: $(cat err.txt)"
}
helper() { "$DMSNAP" status d --json | jq .freeze.helper_pid; }
not_frozen() { "$DMSNAP" list d --json | jq -r ".[] | select(.name == \"$1\") | .not_frozen"; }
attach() { # IMAGE_FILE: its filesystem on `live`
  loop=$(losetup --find --show "$1")
  mount "$loop" live
}
detach() {
  umount live
  losetup -d "$loop"
}
unserve_over() { detach && unserve d; }
# What is frozen makes this wait for ever.
writable() { timeout 12 sh -c 'echo written > live/written && sync live/written' || fail "$*: the filesystem is frozen still"; }
# Many small files, and a database's writes, until the file `stop` is there.
load() {
  mkdir -p live/files
  (while [ ! -e stop ]; do
    for i in 1 2 3 4 5 6 7 8 9; do
      mkdir -p "live/files/$i" && cp "$source_folder/functions.sh" "live/files/$i/a" && ln -f "live/files/$i/a" "live/files/$i/b"
    done
    rm -rf live/files/[1-5] 
  done) & files=$!
  fio --name=load --directory=live --rw=randwrite --bs=4k --size=8m --ioengine=psync --fsync=8 --time_based --runtime=1000 \
    > fio.txt 2>&1 & data=$!
  echo $files > files.pid
  echo $data > fio.pid
  until [ -s live/load.0.0 ] && [ -e live/files/9/b ]; do sleep 0.05; done
}
end_load() {
  touch stop
  wait "$files" || true
  kill "$data"
  wait "$data" || true
  rm -f stop files.pid fio.pid
}
check_clean() { # TYPE NAME
  case $1 in
    ext4)
      dumpe2fs -h "d/snapshots/$2" 2> /dev/null | grep -q needs_recovery && fail "$2: the journal has to be replayed"
      fsck.ext4 -fn "d/snapshots/$2" > fsck.txt 2>&1 || fail "$2: fsck: $(cat fsck.txt)"
      mount -o loop,ro,noload "d/snapshots/$2" old ;;
    # A frozen XFS leaves one record in its log, and its count of free blocks in the superblock without those set aside: it does
    # so on any disk. Nothing else may be found, and nothing at all when that record is taken out of the log.
    xfs)
      xfs_repair -n "d/snapshots/$2" > fsck.txt 2>&1 || true
      ! grep -E '^bad |would ' fsck.txt || fail "$2: $(cat fsck.txt)"
      mount -o loop,ro,norecovery,nouuid "d/snapshots/$2" old ;;
  esac
  ls -R old > /dev/null
  umount old
  [ "$1" = xfs ] || return 0
  mount -o loop,nouuid "d/snapshots/$2" old
  umount old
  xfs_repair -n "d/snapshots/$2" > fsck.txt 2>&1 || fail "$2: xfs_repair: $(cat fsck.txt)"
}

# a loop-mounted filesystem under load, again and again: each snapshot is clean; without the freeze each recovers
for type in ext4 xfs; do
  truncate -s 320M disk.img
  "mkfs.$type" -q disk.img
  serve disk.img d
  create empty
  [ ! -s err.txt ] || [ "$(grep -c frozen err.txt)" -eq 0 ] || fail "nothing is mounted, and it says $(cat err.txt)"
  attach d/origin
  create idle --freeze=require
  idle=$("$DMSNAP" status d --json | jq .freeze.last_ms)
  load
  longest=0
  for round in $(seq "$rounds"); do
    create "s$round" --freeze=require
    longest=$("$DMSNAP" status d --json | jq "[$longest, .freeze.last_ms] | max")
    check_clean $type "s$round"
    drop "s$round"
  done
  create torn --freeze=no
  end_load
  echo "$type: frozen for $idle ms idle, at most $longest ms under load"
  writable "$type, after the load"
  [ "$(not_frozen torn)" = "" ] && [ "$(not_frozen idle)" = "" ] || fail "marked as not frozen"
  [ $type != ext4 ] || dumpe2fs -h d/snapshots/torn 2> /dev/null | grep -q needs_recovery || fail "it was frozen although it should not"
  if [ $type = ext4 ]; then
    mount -o loop d/snapshots/torn old && umount old
    fsck.ext4 -fn d/snapshots/torn > fsck.txt 2>&1 || fail "not recovered: $(cat fsck.txt)"
  else
    mount -o loop,nouuid d/snapshots/torn old && umount old
    xfs_repair -n d/snapshots/torn > fsck.txt 2>&1 || fail "not recovered: $(cat fsck.txt)"
  fi
  detach
  [ ! -e disk.img.dmsnap/frozen ] || fail "there is a record of what is frozen: $(cat disk.img.dmsnap/frozen)"
  unserve d
  rm -r disk.img*
done

# partitions, a filesystem in a file of another, a mount that only another namespace has, a clone: all in one freeze
truncate -s 96M disk.img
python3 -c "
import struct
entry = lambda first, count: struct.pack('<BBBBBBBBII', 0, 0, 0, 0, 0x83, 0, 0, 0, first, count)
with open('disk.img', 'r+b') as disk:
    disk.seek(446)
    disk.write(entry(2048, 65536) + entry(67584, 129024) + bytes(32) + b'\x55\xaa')"
serve disk.img d
loop=$(losetup --find --show --partscan d/origin)
partition() { losetup --find --show --offset "$1" --sizelimit "$2" d/origin; }
if [ -b "${loop}p1" ]; then first=${loop}p1 second=${loop}p2; else first=$(partition 1M 32M) second=$(partition 33M 63M); fi
mkfs.ext4 -q "$first"
mkfs.ext4 -q "$second"
mkdir other inner
mount "$first" live
(exec unshare -m sh -c "mount --make-rprivate / && mount $second $PWD/other && touch ready && exec sleep 1000") & echo $! > space.pid
until [ -e ready ]; do sleep 0.05; done
truncate -s 16M live/inner.img
mkfs.ext4 -q -F live/inner.img
mount -o loop live/inner.img inner
"$DMSNAP" create d three --freeze=require --json > out.txt 2> err.txt || fail "$(cat err.txt)"
ask() { exec 5<> d/.dmsnap/control; echo "$1" >&5; cat <&5; exec 5>&-; }
[ "$(ask '{"verb": "create", "name": "four"}' | jq -c .freeze.frozen)" = "[\"$PWD/other\",\"$PWD/inner\",\"$PWD/live\"]" ] ||
  [ "$(ask '{"verb": "create", "name": "five"}' | jq -c .freeze.frozen)" = "[\"$PWD/inner\",\"$PWD/live\",\"$PWD/other\"]" ] ||
  fail "frozen: $(ask '{"verb": "create", "name": "six"}')"
umount inner
kill "$(cat space.pid)" && wait "$(cat space.pid)" || rm space.pid
umount live
for each in $(losetup -ln -O NAME,BACK-FILE | grep -F "$PWD/d/origin" | awk '{print $1}'); do losetup -d "$each"; done
unserve d
rm -r disk.img*

# a snapshot's own filesystem, for a clone of it; one that somebody else has frozen, which stays so
truncate -s 64M disk.img
mkfs.ext4 -q -F disk.img
serve disk.img d
create base
attach d/snapshots/base
touch live/file
fsfreeze -f live
create clone --of base --freeze=require
fsfreeze -u live || fail "it was frozen by somebody else, and is not any more"
check_clean ext4 clone
create another --of base
[ "$(dumpe2fs -h d/snapshots/another 2> /dev/null | grep -c needs_recovery)" = 0 ] || fail "a clone is not clean"
detach

# somebody thaws it meanwhile: with auto there is a snapshot, which says so; with require there is none
attach d/origin
(while [ ! -e stop ]; do fsfreeze -u live 2> /dev/null || true; done) & thawer=$!
echo $thawer > thaw.pid
create thawed
grep -q "dmsnap: create: not frozen, its journal has to recover it: $PWD/live: somebody else thawed it" err.txt || fail "it says $(cat err.txt)"
[[ "$(not_frozen thawed)" = "$PWD/live: somebody else thawed it"* ]] || fail "it is marked '$(not_frozen thawed)'"
"$DMSNAP" status d | grep -q "not frozen: $PWD/live: somebody else" || fail "$("$DMSNAP" status d)"
expect_failure 1 "there is no snapshot, since not all could be frozen: $PWD/live: somebody else thawed it" "$DMSNAP" create d refused --freeze=require
[ ! -e d/snapshots/refused ] && [ ! -e disk.img.dmsnap/refused.cow ] || fail "there is a snapshot although it was refused"
touch stop
wait $thawer && rm stop thaw.pid
unserve_over
serve disk.img d
[[ "$(not_frozen thawed)" = "$PWD/live: somebody else thawed it"* ]] || fail "after a mount it is marked '$(not_frozen thawed)'"

# what cannot be frozen: a filesystem that a process serves, and that never answers; the log on what would be frozen
loop=$(losetup --find --show d/origin)
python3 -c "
import ctypes, os, time
fuse = os.open('/dev/fuse', os.O_RDWR)
options = f'fd={fuse},rootmode=40000,user_id=0,group_id=0,blksize=4096'.encode()
assert ctypes.CDLL(None).mount(b'$loop', b'$PWD/live', b'fuseblk', 0, options) == 0
open('ready', 'w').write('2')
time.sleep(1000)" & echo $! > fuse.pid
until [ "$(cat ready)" = 2 ]; do sleep 0.05; done
expect_failure 1 "fuseblk on $PWD/live: a filesystem of this kind cannot be frozen" "$DMSNAP" create d refused --freeze=require
create served
grep -q "fuseblk on $PWD/live: a filesystem of this kind cannot be frozen" err.txt || fail "it says $(cat err.txt)"
kill -9 "$(cat fuse.pid)" && wait "$(cat fuse.pid)" || rm fuse.pid
umount live
losetup -d "$loop"
unserve d
"$DMSNAP" mount --log-file "$PWD/old/log" disk.img d
daemon_of d > d.pid
attach d/origin
mount --bind live old
"$DMSNAP" create d logged 2> err.txt > out.txt || fail "$(cat err.txt)"
grep -q "ext4 on $PWD/live: the daemon needs it for $PWD/old" err.txt || fail "it says $(cat err.txt)"
umount old
unserve_over

# killed at any moment: the helper thaws when the daemon is gone, the daemon when the helper is, the next mount when both are
gone() { timeout 15 tail --pid="$1" -f /dev/null || fail "process $1 does not end: $2"; }
not_frozen_now() { ! fsfreeze -u live 2> /dev/null || fail "$*: it was frozen still"; }
# catch_frozen: returns in the middle of a create, with the filesystem frozen: the daemon waits for the disk of its folder
catch_frozen() {
  for _ in $(seq 20); do
    "$DMSNAP" create d killed > out.txt 2> err.txt & creating=$!
    while [ ! -e below/set/frozen ] && kill -0 $creating 2> /dev/null; do :; done
    fsfreeze -f below
    sleep 0.5
    [ ! -e below/set/frozen ] || ! kill -0 $creating 2> /dev/null || return 0
    fsfreeze -u below
    wait $creating || fail "$(cat err.txt)"
    drop killed
  done
  fail "never caught while it was frozen"
}
mkdir below
truncate -s 64M below.img
mkfs.ext4 -q -F below.img
mount -o loop below.img below
for when in 0 0.04 frozen; do
  for victim in daemon helper both; do
    store=() set=disk.img.dmsnap
    [ $when != frozen ] || store=(--store below/set) set=below/set
    serve disk.img d "${store[@]}" 2> err.txt
    attach d/origin
    touch live/more
    daemon=$(cat d.pid) helper=$(helper)
    if [ $when = frozen ]; then
      catch_frozen
    else
      "$DMSNAP" create d killed > out.txt 2> err.txt & creating=$!
      while [ ! -e disk.img.dmsnap/frozen ] && kill -0 $creating 2> /dev/null; do :; done
      sleep $when
    fi
    case $victim in
      daemon) kill -9 "$daemon" ;;
      helper) kill -9 "$helper" ;;
      both) kill -9 "$helper" "$daemon" ;;
    esac
    [ $when != frozen ] || fsfreeze -u below
    gone $creating "$victim killed, $when"
    wait $creating || true
    if [ $victim = helper ]; then
      writable "the helper was killed, $when"
      not_frozen_now "the helper was killed, $when"
      grep -q helper err.txt || create after
      grep -q "not frozen.*the freeze helper has died" err.txt || fail "it says $(cat err.txt)"
      "$DMSNAP" status d | grep -q "note .*the freeze helper has died" || fail "$("$DMSNAP" status d)"
      [ ! -e $set/frozen ] || fail "there is a record still"
    else
      gone "$helper" "$victim killed, $when"
      gone "$daemon" "$victim killed, $when"
      rm d.pid
      [ $victim = both ] || not_frozen_now "the daemon was killed, $when"
      serve disk.img d "${store[@]}" 2> err.txt
      [ $when != frozen ] || [ $victim != both ] || grep -q "$PWD/live was frozen for a snapshot" err.txt || fail "it says $(cat err.txt)"
      not_frozen_now "both were killed, $when"
    fi
    detach
    for each in killed after; do [ ! -e "d/snapshots/$each" ] || drop $each; done
    unserve d
  done
done
umount below
rm -r disk.img.dmsnap # the image has changed behind it
serve disk.img d
attach d/origin
device=$(stat -c %Hd:%Ld live)
fsfreeze -f live
printf '%s\n%s ext4 %s\n' "$(cat /proc/sys/kernel/random/boot_id)" "$device" "$PWD/live" > disk.img.dmsnap/frozen
kill -9 "$(cat d.pid)" "$(helper)" && rm d.pid
serve disk.img d 2> err.txt
grep -q "$PWD/live was frozen for a snapshot by a process that died, and is thawed now" err.txt || fail "it says $(cat err.txt)"
! fsfreeze -u live 2> /dev/null || fail "it was frozen still"
[ ! -e disk.img.dmsnap/frozen ] || fail "the record is there still"
umount live
losetup -d "$loop"

# a daemon that stands still: after ten seconds it is thawed, and the snapshot is taken away again
attach d/origin
"$DMSNAP" create d late --freeze=require > out.txt 2> err.txt & creating=$!
while [ ! -e disk.img.dmsnap/frozen ]; do :; done
kill -STOP "$(cat d.pid)"
sleep 11
kill -CONT "$(cat d.pid)"
writable "the daemon stood still"
! wait $creating || fail "it was not frozen for as long as it took, and there is a snapshot"
grep -q "$PWD/live: thawed after 10 s, before the snapshot was taken" err.txt || fail "it says $(cat err.txt)"
[ ! -e d/snapshots/late ] || fail "there is a snapshot"
unserve_over

# a user's mount has no helper, and says so; with a /dev/fuse that users may open
mkdir -p theirs/d
mv disk.img disk.img.dmsnap theirs
cat > theirs.sh << 'SCRIPT'
set -e
mknod fuse c 10 229
chmod 666 fuse
mount --bind fuse /dev/fuse
chown -R nobody theirs
as_nobody() { setpriv --reuid=nobody --regid=65534 --clear-groups "$@"; }
as_nobody "$DMSNAP" mount theirs/disk.img "$PWD/theirs/d" --log-file "$PWD/theirs/log"
as_nobody "$DMSNAP" status theirs/d --json | jq .pid > theirs.pid
as_nobody "$DMSNAP" status theirs/d > status.txt
as_nobody "$DMSNAP" create theirs/d user --freeze=require > out.txt
as_nobody "$DMSNAP" umount theirs/d
SCRIPT
unshare -m bash theirs.sh 2> err.txt || fail "a user's mount: $(cat err.txt)"
rm -f theirs.pid
grep -q "note .*filesystems are not frozen for snapshots: that takes root (CAP_SYS_ADMIN)" status.txt || fail "$(cat status.txt)"
