#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk below the store, however little room is left: making a set or a snapshot succeeds, or fails in one line and
# leaves nothing; the origin goes on; a snapshot that needs no room stays valid, one that needs room is invalid or overflows,
# says why, and shows nothing any more, not from the page cache either; removing and unmounting always work. A full disk below
# the origin itself loses no flushed write, and says so.
. "$(dirname "$0")/functions.sh"
mkdir small
mount -t tmpfs -o size=8M none small
store=$PWD/small/set
size=$((4 * 1024 * 1024))
head -c $size /dev/urandom > disk.img
cp disk.img frozen.img
create() { "$DMSNAP" create "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }
fill() { # PAGES: until no more than these are left
  dd if=/dev/zero of=small/filler bs=4K conv=notrunc oflag=append status=none 2> err.txt || true
  truncate -s $(($(stat -c %s small/filler) - 4096 * $1)) small/filler
}
both() { # PAGE COUNT: new content, for the origin and for a plain copy of it
  head -c $((4096 * $2)) /dev/urandom > piece
  dd if=piece of=shadow.img bs=4K seek="$1" conv=notrunc status=none
  dd if=piece of=d/origin bs=4K seek="$1" conv=notrunc,fsync status=none
}
state() { "$DMSNAP" status d "$1" --json | jq -r .state; }
is() { # NAME STATE DM-WORD
  [ "$(state "$1")" = "$2" ] || fail "$1 is not $2: $("$DMSNAP" status d "$1")"
  [[ $("$DMSNAP" status d "$1" --dm) = *" snapshot "$3 ]] || fail "$1: --dm says $("$DMSNAP" status d "$1" --dm), not $3"
  [ "$2" = active ] || [ -n "$("$DMSNAP" status d "$1" --json | jq -r .reason)" ] || fail "$1 is $2 and no reason is told"
}
unreadable() { ! cat "d/snapshots/$1" > out.txt 2> err.txt && ! [ -s out.txt ] || fail "$1 can be read although it is invalid"; }

# no room for a set
for pages in 0 1 2 3 4; do
  fill $pages
  if "$DMSNAP" mount disk.img d --store "$store" > out.txt 2> err.txt; then
    "$DMSNAP" umount d
    rm -r "$store"
  else
    for text in "$store" "No space" "make room there, or name a folder elsewhere with --store"; do
      grep -qF -- "$text" err.txt || fail "with $pages pages left: says '$(cat err.txt)', not '$text'"
    done
    [ "$(wc -l < err.txt)" -eq 1 ] || fail "not one line: $(cat err.txt)"
    ! mountpoint -q d || fail "mounted without a set"
    [ ! -e "$store" ] || fail "left behind: $(ls -A "$store")"
  fi
  rm small/filler
done

# no room for a snapshot: 0 to 6 pages are left
serve disk.img d --store "$store"
create d before
fill 0
listed=before
for pages in 0 1 2 3 4 5 6; do
  rm small/filler
  fill "$pages"
  for type in P PO N; do
    files=$(ls -A small/set)
    if "$DMSNAP" create d "new$pages$type" --type $type > out.txt 2> err.txt; then
      "$DMSNAP" remove d "new$pages$type" || fail "what was created with $pages pages left cannot be removed"
    else
      grep -q "cannot be created.*No space.*filesystem of $store is full: make room there" err.txt && [ "$(wc -l < err.txt)" -eq 1 ] ||
        fail "with $pages pages left: $(cat err.txt)"
    fi
    [ "$(ls -A small/set)" = "$files" ] || fail "with $pages pages left: left behind: $(ls -A small/set)"
    [ "$("$DMSNAP" list d --json | jq -r '.[].name')" = "$listed" ] || fail "with $pages pages left: listed: $("$DMSNAP" list d)"
  done
done
is before active "16/* 16"
unserve d
serve disk.img d --store "$store"
cmp d/snapshots/before frozen.img || fail "the set is not what it was"
cmp disk.img frozen.img || fail "the image changed"
rm small/filler
"$DMSNAP" remove d before

# the disk is filled by somebody else while the origin is written
cp frozen.img shadow.img
create d big --chunk-size 16K
create d transient --type N
create d own --type PO
create d owner --type P
for name in big own owner transient; do cat d/snapshots/$name > "$name.img"; done # and into the page cache
cmp big.img frozen.img || fail "the snapshot is not right even before the disk is full"
(while [ ! -e enough ]; do dd if=/dev/zero bs=64K count=1 status=none >> small/filler 2> /dev/null || true; done) &
filler=$!
exec 4< d/snapshots/big
for from in 0 300 600; do both $from 300; done
touch enough && wait $filler
cmp d/origin shadow.img || fail "the origin is not what was written"
for name in big own owner transient; do
  is $name invalid Invalid
  unreadable $name
  "$DMSNAP" status d $name | grep -q '^    .*the filesystem of the COW file is full' ||
    fail "$name: the reason is $("$DMSNAP" status d $name)"
done
! dd <&4 of=out.txt bs=4K count=1 status=none 2> err.txt || fail "an open file of an invalid snapshot can be read"
exec 4<&-
both 200 500
unserve d
cmp disk.img shadow.img || fail "the image is not what was written"
serve disk.img d --store "$store"
is big invalid Invalid
[ "$("$DMSNAP" list d --json | jq -r '.[].name' | xargs)" = "big own owner" ] || fail "listed: $("$DMSNAP" list d)"
rm small/filler
for name in big own owner; do rm d/snapshots/$name; done

# who needs no room is not touched; who does for its own writes is overflowed (PO) or invalid (P)
create d after
create d own
create d owner --type P
cp shadow.img frozen.img
both 100 16
fill 0
until ! dd if=/dev/urandom of=d/snapshots/own bs=4K count=1 seek=$((tries = ${tries:-200} + 1)) conv=notrunc status=none 2> err.txt; do
  [ $tries -lt 900 ] || fail "writing to a snapshot goes on on a full disk"
done
is own overflow Overflow
cmp -n $((200 * 4096)) d/snapshots/own frozen.img || fail "an overflowed snapshot does not show what it has"
dd if=d/snapshots/own of=own.img bs=1M status=none
until ! dd if=/dev/urandom of=d/snapshots/owner bs=4K count=1 seek=$((more = ${more:-200} + 1)) conv=notrunc status=none 2> err.txt; do
  [ $more -lt 900 ] || fail "writing to a snapshot goes on on a full disk"
done
is owner invalid Invalid
unreadable owner
both 100 16
is after active "*"
cmp d/snapshots/after frozen.img || fail "a snapshot that needed no room is not right"
kill -9 "$(cat d.pid)"
rm d.pid
serve disk.img d --store "$store"
is after active "*"
is owner invalid Invalid
cmp d/snapshots/after frozen.img && cmp d/origin shadow.img || fail "after a kill on a full disk"

# removing and unmounting work on a full disk, as often as it is filled again
fill 0
"$DMSNAP" remove d own || fail "a snapshot cannot be removed on a full disk"
fill 0
unserve d
for name in owner after; do
  fill 0
  "$DMSNAP" remove --store "$store" disk.img $name || fail "$name cannot be removed on a full disk"
done
cmp disk.img shadow.img || fail "the image is not what was written last"

# a full disk below the origin: nothing flushed is lost, and what could not be written is said
truncate -s 2M small/sparse.img
serve small/sparse.img d
cp small/sparse.img expected.img
fill 0
expect_failure 1 "No space" dd if=disk.img of=d/origin bs=4K count=1 conv=notrunc,fsync
rm small/filler
dd if=disk.img of=d/origin bs=4K count=1 conv=notrunc,fsync status=none || fail "room was made, but not for the writer"
dd if=disk.img of=expected.img bs=4K count=1 conv=notrunc status=none
# What is copied of a hole gives its room in the COW file to the origin: these chunks begin with data.
dd if=disk.img of=d/origin bs=4K seek=16 count=1 conv=notrunc,fsync status=none
dd if=disk.img of=expected.img bs=4K seek=16 count=1 conv=notrunc status=none
create d snap --chunk-size 64K
cp expected.img frozen.img
dd if=disk.img of=d/origin bs=4K seek=1 count=1 conv=notrunc,fsync status=none # room in the COW file is reserved now
dd if=disk.img of=expected.img bs=4K seek=1 count=1 conv=notrunc status=none
fill 0
expect_failure 1 "rror" dd if=disk.img of=d/origin bs=4K seek=17 count=2 conv=notrunc,fsync
expect_failure 1 "" sync d/origin
expect_failure 1 "before everything was on disk" "$DMSNAP" umount d
rm d.pid small/filler
serve small/sparse.img d 2> err.txt
cmp -n 8192 d/origin expected.img && cmp d/snapshots/snap frozen.img || fail "after a write that the origin refused"
dd if=disk.img of=d/origin bs=4K seek=17 count=2 conv=notrunc,fsync status=none || fail "writing does not go on after it"
cmp d/snapshots/snap frozen.img || fail "the snapshot is not right after a write that the origin refused"
unserve d
umount small
