#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What cannot be done is refused in one line that says why, with the documented exit status, and nothing is changed.
. "$(dirname "$0")/functions.sh"
truncate -s 8M disk.img
serve disk.img d
"$DMSNAP" create d good > out.txt 2> err.txt
unserve d

# Every file and folder but the lock, which names its last holder.
everything() {
  local others=(-path ./d -prune -o ! -name lock ! -name out.txt ! -name err.txt ! -name log ! -name before)
  find . "${others[@]}" -printf '%p %y %m\n' | sort
  find . "${others[@]}" -type f -print0 | sort -z | xargs -0 sha256sum
}
refuse() { # STATUS TEXT COMMAND...
  everything > before
  expect_failure "$@"
  [ "$1" -eq 2 ] || [ "$(wc -l < err.txt)" -eq 1 ] || fail "${*:3}: not one line: $(cat err.txt)"
  everything | cmp -s before - || fail "${*:3}: changed something"
  ! mountpoint -q d || fail "${*:3}: mounted all the same"
}
mounting() { "$DMSNAP" mount "$@"; }

# the origin
mkfifo fifo
head -c 8192 /dev/urandom > odd.cow
: > empty.img
printf 'QFI\373' | dd of=overlay.qcow2 bs=1M seek=0 status=none && truncate -s 1M overlay.qcow2
refuse 1 "No such file" mounting missing.img d
refuse 1 "live" mounting live d
refuse 1 "empty" mounting empty.img d
refuse 1 "fifo" mounting fifo d
refuse 1 "qemu-img convert" mounting overlay.qcow2 d
refuse 1 "COW" mounting disk.img.dmsnap/good.cow d
loop=$(losetup --find --show disk.img)
refuse 1 "$loop" mounting disk.img d
losetup -d "$loop"
cp disk.img secret.img && chmod 600 secret.img
refuse 1 "Permission denied" setpriv --reuid=65534 --regid=65534 --clear-groups "$DMSNAP" mount secret.img d

# the mount point
touch old/file
refuse 1 "not empty" mounting disk.img old
rm old/file && touch old/.hidden
refuse 1 "not empty" mounting disk.img old
refuse 1 "does not exist" mounting disk.img nowhere
refuse 1 "no folder" mounting disk.img disk.img
mkdir -p inside/disk.img.dmsnap && cp disk.img inside/
chmod 700 inside/disk.img.dmsnap && mkdir inside/disk.img.dmsnap/d
refuse 1 "lies in" mounting inside/disk.img inside/disk.img.dmsnap/d

# FUSE: not there, or not for us. A /dev of its own shows that.
without_fuse() { # COMMAND that makes the device
  unshare --mount bash -c 'set -eu; mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; eval "$1"; shift; "$@"' - "$@"
}
mkdir -m 777 public public/d
truncate -s 1M public/disk.img && chown 65534 public/disk.img
refuse 1 "modprobe fuse" without_fuse : "$DMSNAP" mount disk.img d
refuse 1 "permission" without_fuse "mknod -m 600 /dev/fuse c 10 229" \
  setpriv --reuid=65534 --regid=65534 --clear-groups "$DMSNAP" mount public/disk.img public/d
for other in ': > /dev/fuse' 'mknod -m 666 /dev/fuse c 1 3' 'mkdir /dev/fuse'; do
  for image in disk.img public/disk.img; do refuse 1 "not FUSE's device" without_fuse "$other" "$DMSNAP" mount $image d; done
done

# a set that would be new, and one that is there, are as before when the mount fails
as_user() { without_fuse "mknod -m 666 /dev/fuse c 10 229" setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
truncate -s 1M new.img
mkdir empty public/closed
for image in new.img disk.img "new.img --store empty"; do
  refuse 1 "missing.cow" mounting $image d --attach foo=missing.cow
  refuse 1 "COW" mounting $image d --attach foo=odd.cow
  refuse 2 "memory of this machine" mounting $image d --held 99999T
  refuse 1 "no such folder" mounting $image d --log-file /nope/x
  [ ! -e /nope ] || fail "made /nope"
done
refuse 1 "write access" as_user "$DMSNAP" mount public/disk.img public/closed
if ! grep -q ^user_allow_other /etc/fuse.conf; then
  chown 65534 public/d
  refuse 1 "user_allow_other" as_user "$DMSNAP" mount public/disk.img public/d --allow-other
fi
refuse 1 "has no set" "$DMSNAP" remove new.img x
refuse 1 "has no set" "$DMSNAP" remove new.img x --store nowhere
refuse 1 "no snapshot" "$DMSNAP" remove new.img x --store empty
refuse 1 "no such folder" mounting missing.img d --log-file /nope/x

# usage
refuse 2 "MOUNTPOINT is missing" mounting disk.img
refuse 2 "no verb" "$DMSNAP" mnt disk.img d
refuse 2 "--held" mounting disk.img d --held lots
refuse 2 "-o" mounting disk.img d -fo ro
refuse 2 "-o" mounting disk.img d -o option=ro
refuse 1 "no dmsnap mount" "$DMSNAP" list d
"$DMSNAP" --help > out.txt && "$DMSNAP" mount --help > out.txt || fail "--help fails"

# stores
damage() { # TEXT OFFSET BYTES: bytes written into a copy of the store
  cp disk.img.dmsnap/good.cow saved.cow
  printf "$3" | dd of=disk.img.dmsnap/good.cow bs=1 seek="$2" conv=notrunc status=none
  refuse 1 "$1" mounting disk.img d
  for word in good "$PWD/disk.img.dmsnap/good.cow" "dmsnap check --origin $PWD/disk.img $PWD" "dmsnap repair --origin $PWD/disk.img $PWD" "dmsnap remove $PWD/disk.img good"; do
    grep -qF "$word" err.txt || fail "does not name '$word': $(cat err.txt)"
  done
  check=$(grep -o 'dmsnap check [^;]*' err.txt)
  status=0
  "$DMSNAP" ${check#dmsnap } > check.txt 2>&1 || status=$?
  cp saved.cow disk.img.dmsnap/good.cow
}
entry='\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0'
damage "beyond the end of the origin" 4096 '\xff\xff\xff\0\0\0\0\0\x02\0\0\0\0\0\0\0'
[ $status = 3 ] || fail "what mount refuses the command that it names finds sound: status $status: $(cat check.txt)"
damage "no COW device" 0 'JUNK'
damage "version 2" 8 '\x02'
damage "chunk size" 12 '\x07'
damage "the header says chunks of 8192 B, set.json 4096 B" 12 '\x10'
damage "blank" 0 '\0\0\0\0'
damage "beyond the end of the COW device" 4096 '\x01\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0'
damage "beyond the end of the origin" 4096 '\0\0\0\x01\0\0\0\0\x02\0\0\0\0\0\0\0'
damage "metadata chunk" 4096 '\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0'
damage "used by an earlier entry" 4096 "$entry"'\x05\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0'
damage "named by an earlier entry" 4096 "$entry"'\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0'
damage "beyond the end of the COW device" 4096 '\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x03'
cp disk.img.dmsnap/good.cow saved.cow
truncate -s 5000 disk.img.dmsnap/good.cow
refuse 1 "good" mounting disk.img d
cp saved.cow disk.img.dmsnap/good.cow
cp disk.img.dmsnap/set.json saved.json
loop=$(losetup --find --show disk.img.dmsnap/good.cow)
refuse 1 "good.cow is in use elsewhere (loop device $loop): writes from there would damage the snapshot 'good'" mounting disk.img d
losetup -d "$loop"
for content in '' '{"format": 1' '[]' '{"format": 99}'; do
  printf '%s' "$content" > disk.img.dmsnap/set.json
  refuse 1 "set.json" mounting disk.img d
done
contradict() { # TEXT CHANGE: of the record of the snapshot
  jq "$2" saved.json > disk.img.dmsnap/set.json
  refuse 1 "$1" mounting disk.img d
  grep -qF "dmsnap remove $PWD/disk.img good" err.txt || fail "does not say what helps: $(cat err.txt)"
}
contradict "the header says chunks of 4096 B, set.json 8192 B" '.snapshots[0].chunk_sectors = 16'
contradict "set.json says 512" '.snapshots[0].cow_sectors = 1'
contradict "should have" '.snapshots[0].cow_sectors *= 2'
cp saved.json disk.img.dmsnap/set.json

# an origin that was changed behind our back
cp -p disk.img saved.img
printf x | dd of=disk.img conv=notrunc status=none
refuse 1 "dmsnap remove" mounting disk.img d
cp -p saved.img disk.img

# while it is mounted
serve disk.img d
mkdir other
expect_failure 1 "$(cat d.pid)" "$DMSNAP" mount disk.img other
expect_failure 1 "already" "$DMSNAP" mount disk.img d
expect_failure 1 "already" "$DMSNAP" create d good
for name in .hidden -x a/b "$(printf 'x%.0s' $(seq 300))" delta.map ''; do
  expect_failure 1 "name" "$DMSNAP" create d -- "$name" || true
done
expect_failure 1 "chunks of 1.0 GiB are larger than the image (8.0 MiB): use chunks of at most 8.0 MiB" "$DMSNAP" create d new --chunk-size 1G
expect_failure 1 "at most 8.0 MiB" "$DMSNAP" create d new --chunk-size 16M
for size in 3K 0 2G 4X; do expect_failure 2 "--chunk-size" "$DMSNAP" create d new --chunk-size $size; done
expect_failure 1 "unknown" "$DMSNAP" create d new --type Q
for size in 0 1 100 511 8192 12287 0%; do expect_failure 2 "at least 12288 bytes" "$DMSNAP" create d new --size $size; done
expect_failure 2 "at least 196608 bytes" "$DMSNAP" create d new --size 2% --chunk-size 64K
for size in -1 x 5X '%' x% 1.5% 5%% 5K% 10000%; do expect_failure 2 "--size" "$DMSNAP" create d new --size=$size; done
expect_failure 1 "no-such-mount: No such file" "$DMSNAP" create no-such-mount new --size 50%
expect_failure 1 "no snapshot" "$DMSNAP" remove d missing
ask() { printf '%s\n' "$1" | python3 -c 'import os, sys
fd = os.open("d/.dmsnap/control", os.O_RDWR); os.write(fd, sys.stdin.buffer.read()); print(os.read(fd, 65536).decode())'; }
for request in '{"verb":"create","name":"new","chunk_sectors":4294967304}' '{"verb":"create","name":"new","chunk_sectors":8.9}' \
  '{"verb":"create","name":"new","cow_bytes":-1}' '{"verb":"create","name":"new","cow_bytes":8192}' '{"verb":"create"}' '{"verb":"create","name":7}' '{"verb":"a\nb"}' '{' '[]'; do
  [ "$(ask "$request" | jq .ok)" = false ] || fail "$request is taken"
done
exec 3< d/snapshots/good
expect_failure 1 "in use" "$DMSNAP" remove d good
exec 3<&-
[ "$(ls disk.img.dmsnap)" = "$(printf 'good.cow\nlock\nset.json')" ] || fail "left behind: $(ls disk.img.dmsnap)"
for size in 12288 50%; do
  "$DMSNAP" create d sized --size $size > out.txt 2> err.txt || fail "--size $size: $(cat err.txt)"
  [ "$(stat -c %s disk.img.dmsnap/sized.cow)" -eq "${size/50%/4194304}" ] || fail "--size $size makes $(stat -c %s disk.img.dmsnap/sized.cow) bytes"
  "$DMSNAP" remove d sized
done
unserve d

# a size that is no multiple of 512 bytes is served, read-only, and says so
head -c 100000 /dev/urandom > odd.img
serve odd.img d
grep -q "512" log d/.dmsnap/status || fail "does not say why it is read-only"
cmp d/origin odd.img
expect_failure 1 "" dd if=/dev/zero of=d/origin bs=512 count=1 conv=notrunc
unserve d
