#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# touch and cp take snapshots: cp in a mount makes a clone at once, however it goes through holes, and whatever the size;
# what is copied in part, by offsets or by an old program is copied; who dies in between leaves something sound.
. "$(dirname "$0")/functions.sh"
same() { python3 "$source_folder/same_data.py" "$1" "$2" || fail "$1 is not as $2: $3"; }
told() { "$DMSNAP" list d --json | jq -r ".[] | select(.name == \"$1\") | .$2"; }
# is_clone NAME BASE: nothing was copied
is_clone() {
  [ "$(told "$1" base)" = "$2" ] || fail "$1 falls through to $(told "$1" base), not to $2"
  [ "$(told "$1" data_bytes)" = 0 ] || fail "$1 is a copy: $(told "$1" data_bytes) bytes"
}
random() { dd if=/dev/urandom of="$1" bs=4K seek="$2" count="$3" conv=notrunc status=none; }
# places BYTES: where an image has data, in blocks of 4 KiB: begin and end, the middle, and around 4 GiB
places() {
  local blocks=$(($1 / 4096))
  echo 0 $((blocks / 4)) $((blocks / 2)) $((blocks - 3))
  [ "$blocks" -lt 1048600 ] || echo 1048570 1048574
}
# make_image SIZE KIND
make_image() {
  rm -rf disk.img disk.img.dmsnap
  truncate -s "$1" disk.img
  local bytes
  bytes=$(stat -c %s disk.img)
  case $2 in
    hole) ;;
    half) for at in $(places "$bytes"); do random disk.img "$at" 3; done ;;
    full) # all of its blocks are there, so cp does not look for holes
      fallocate -l "$bytes" disk.img
      for at in $(places "$bytes"); do random disk.img "$at" 3; done
      ;;
  esac
}
# change_snapshot FILE BYTES: data where the origin has none, and none where it has some
change_snapshot() {
  for at in $(places "$2"); do
    random "$1" $((at > 5 ? at - 5 : at + 5)) 2
    fallocate -p -o $((at * 4096)) -l 8192 "$1"
  done
}
# try_copies KIND SIZE MODE...: of a snapshot and of the origin, each way
try_copies() {
  local kind=$1 what="$1 image of $2" bytes
  shift 2
  bytes=$(stat -c %s d/origin)
  for mode in "$@"; do
    cp $mode d/snapshots/a d/snapshots/b || fail "cp $mode of a $what"
    cp $mode d/origin d/snapshots/c || fail "cp $mode of the origin, $what"
    if [ "$mode" = --sparse=auto ] && [ $kind != hole ]; then is_clone b a && is_clone c null; fi
    same d/snapshots/b d/snapshots/a "cp $mode, $what"
    same d/snapshots/c d/origin "cp $mode of the origin, $what"
    cp --sparse=always d/origin o.was
    random d/origin $((bytes / 8192)) 9
    same d/snapshots/c o.was "the origin was written, $what"
    random d/snapshots/c 1 3
    cp --sparse=always d/snapshots/b b.was
    for file in d/snapshots/a d/origin; do random $file 0 4; done
    same d/snapshots/b b.was "what it was copied from was written, cp $mode, $what"
    rm d/snapshots/b d/snapshots/c
  done
}
# A file whose blocks are all there is copied by copy_file_range, in pieces below 4 GiB.
try_large_copy() {
  cp d/origin d/snapshots/c || fail "cp of the origin, $1"
  is_clone c null
  head -c 16K d/snapshots/c > o.was
  random d/origin 1 2
  cmp -n 16384 d/snapshots/c o.was || fail "the origin was written, $1"
  ! cmp -s -n 16384 d/origin o.was || fail "nothing was written, $1"
}
for size in 1M 5G 1T; do
  for kind in hole half full; do
    [ $size$kind != 1Tfull ] || continue # no disk has that
    make_image $size $kind
    serve disk.img d --log-level info
    touch d/snapshots/a
    is_clone a null
    change_snapshot d/snapshots/a "$(stat -c %s d/origin)"
    # with "never" cp writes a zero for each byte of a hole, so only where there are few
    modes=(--sparse=auto --sparse=always)
    [ $size != 1M ] || modes+=(--sparse=never)
    if [ $size$kind = 5Gfull ]; then try_large_copy "$size"; else try_copies $kind $size "${modes[@]}"; fi
    unserve d
  done
done

# by the clock: 1 TiB in a moment
make_image 1T half
serve disk.img d
touch d/snapshots/a
best=100000
for _ in 1 2 3 4 5; do
  begin=$(date +%s%N)
  cp d/snapshots/a d/snapshots/b
  took=$((($(date +%s%N) - begin) / 1000000))
  [ $took -gt $best ] || best=$took
  rm d/snapshots/b
done
echo "cp of 1 TiB: $best ms"
[ $best -lt 1000 ] || fail "cp of 1 TiB takes $best ms"
unserve d

# a clone of a clone of a clone, without the middle one, also after mounting again
rm -rf disk.img*
random disk.img 0 2048
serve disk.img d
for pair in origin:a snapshots/a:b snapshots/b:c snapshots/c:e; do
  cp d/${pair%:*} d/snapshots/${pair#*:}
  is_clone ${pair#*:} "$([ ${pair#*:} = a ] && echo null || basename ${pair%:*})"
  random d/snapshots/${pair#*:} $((RANDOM % 2000)) 40
  random d/origin $((RANDOM % 2000)) 40
done
for each in a b c e; do cp d/snapshots/$each $each.was; done
"$DMSNAP" remove --wait d b
for each in a c e; do cmp d/snapshots/$each $each.was || fail "$each, once b is gone"; done
[ "$(told c base)" = a ] || fail "c falls through to $(told c base)"
unserve d
serve disk.img d
for each in a c e; do cmp d/snapshots/$each $each.was || fail "$each, mounted again"; done

# FICLONE never reaches a FUSE filesystem: a clear failure, and no file is left
expect_failure 1 "ailed to clone" cp --reflink=always d/snapshots/a d/snapshots/linked
[ ! -e d/snapshots/linked ] || [ "$(told linked data_bytes)" = 0 ] || fail "cp --reflink=always left something odd"
rm -f d/snapshots/linked

# a file from elsewhere is data like any other, and one line of the log says so
cp e.was d/snapshots/from-elsewhere
cmp d/snapshots/from-elsewhere e.was || fail "a copy from outside"
[ "$(grep -c "snapshots/from-elsewhere: gets ordinary data" "$test_folder/log")" = 1 ] || fail "the log does not tell of ordinary data, once: $(cat log)"
rm d/snapshots/from-elsewhere
truncate -s 8M sparse.img # where it has holes the origin has data
random sparse.img 100 3
cp sparse.img d/snapshots/from-elsewhere
cmp d/snapshots/from-elsewhere sparse.img || fail "a sparse copy from outside"
cat d/snapshots/a > d/snapshots/by-cat
cmp d/snapshots/by-cat a.was || fail "a copy by reading and writing"
# a file of another size than the image
cp --sparse=always d/snapshots/a small && truncate -s 1M small
cp small d/snapshots/short 2> err.txt || true
cmp -n 1048576 d/snapshots/short small || fail "a short file"

# existing ones are never replaced, names are checked, and a full list is not changed by what is refused
expect_failure 1 "not permitted" cp --no-preserve=mode d/origin d/snapshots/a
cmp d/snapshots/a a.was || fail "cp onto a snapshot changed it"
expect_failure 1 "Invalid argument" touch d/snapshots/.hidden
expect_failure 1 "Invalid argument" touch d/snapshots/x.map
expect_failure 1 "not permitted" touch d/x
unserve d

# copies of parts; who dies in between
for layout in independent chained; do
  rm -rf disk.img*
  random disk.img 0 2048
  serve disk.img d --layout $layout
  touch d/snapshots/a d/snapshots/before
  random d/snapshots/a 0 2048
  random d/origin 0 2048
  cp disk.img origin.was
  python3 "$source_folder/partial_copies.py" closed || fail "partial copies, $layout"
  for file in expected.*; do cmp "$file" "d/snapshots/${file#*.}" || fail "${file#*.}, $layout"; done
  random d/origin 0 2048
  for file in expected.*; do cmp "$file" "d/snapshots/${file#*.}" || fail "${file#*.}, $layout, the origin was written"; done
  unserve d
  serve disk.img d
  for file in expected.*; do cmp "$file" "d/snapshots/${file#*.}" || fail "${file#*.}, $layout, mounted again"; done
  rm expected.*
  python3 "$source_folder/partial_copies.py" killed d.pid || fail "killed, $layout"
  umount d
  serve disk.img d
  for file in expected.*; do cmp "$file" "d/snapshots/${file#*.}" || fail "${file#*.}, $layout, after a kill"; done
  ! ls -A disk.img.dmsnap | grep -q tmp || fail "temporary files are left: $(ls -A disk.img.dmsnap)"
  rm expected.*
  unserve d
done

# what is mounted from the source is frozen, as by "create"; who calls from there is answered
rm -rf disk.img*
truncate -s 64M disk.img
mkfs.ext4 -q disk.img
serve disk.img d
loop=$(losetup --find --show d/origin)
mount "$loop" live
echo before > live/file
touch d/snapshots/a 2> live/err.txt
(cd live && cp ../d/origin ../d/snapshots/b > out.txt 2>&1) || fail "cp from the filesystem that is frozen: $(cat live/out.txt)"
for each in a b; do
  [ "$(told $each not_frozen)" = "" ] || fail "$each: not frozen: $(told $each not_frozen)"
  # cp has read b itself, piece by piece (its blocks are fewer than its size says): that is what a journal is for.
  if [ $each = b ]; then
    e2fsck -fy d/snapshots/b > fsck.txt 2>&1 || [ $? -le 1 ] || fail "b: $(cat fsck.txt)"
  fi
  ! dumpe2fs -h d/snapshots/$each 2> /dev/null | grep -q needs_recovery || fail "$each: the journal has to be replayed"
  [ "$(debugfs -R 'cat file' d/snapshots/$each 2> /dev/null)" = before ] || fail "$each: what was written before is not there"
done
[ "$("$DMSNAP" status d --json | jq .freeze.last_ms)" != null ] || fail "nothing was frozen"
umount live
losetup -d "$loop"
unserve d

# a file from outside that is one hole, as cp makes it: no data is written, its size is set
rm -rf disk.img*
random disk.img 0 2048
truncate -s 8M hole.img
serve disk.img d
for mode in auto always never; do
  cp --sparse=$mode hole.img d/snapshots/hole || fail "cp --sparse=$mode of a file that is one hole"
  cmp hole.img d/snapshots/hole || fail "cp --sparse=$mode: the origin shows through a hole"
  rm d/snapshots/hole
done
unserve d

# one that has become invalid while it was new is put below nobody: older ones would go with it
rm -rf disk.img*
random disk.img 0 4096
mkdir tight
mount -t tmpfs -o size=40M none tight
serve disk.img d --store "$PWD/tight/set" --layout chained
touch d/snapshots/old
cp --sparse=never d/origin old.was
random d/origin 0 2048
sync d/origin
python3 - << 'PYTHON' || fail "a new one that has no room"
import os
new = os.open("d/snapshots/new", os.O_RDWR | os.O_CREAT | os.O_EXCL)
with open("tight/filler", "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(65536))
    except OSError:
        pass
origin = os.open("d/origin", os.O_RDWR)
os.pwrite(origin, os.urandom(4 << 20), 0)  # old has a copy, new has no room for one
os.fsync(origin)
os.close(origin)
os.close(new)
PYTHON
[ "$(told new state)" = invalid ] || fail "new: $("$DMSNAP" list d)"
[ "$(told old base)" = null ] || fail "old falls through to $(told old base)"
rm tight/filler
unserve d
serve disk.img d --store "$PWD/tight/set"
cmp d/snapshots/old old.was || fail "old is lost with one that was new: $("$DMSNAP" list d)"
unserve d
umount tight
