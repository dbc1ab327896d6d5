#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A COW device that a kernel wrote: attached where it lies it shows what the kernel showed, read-only without a changed byte;
# it can be used as any snapshot and is found again; a missing one makes the origin read-only until it is removed; one that is
# no sound store, or does not fit, is refused in one line and not recorded. Full stores do what the kernel's do.
. "$(dirname "$0")/functions.sh"
cases=$source_folder/../vectors/cases
materialize() { python3 "$source_folder/../vectors/materialize.py" "$cases/$1" "$1" > "$1.txt"; }
told() { awk -v word="$2" '$1 == word { $1 = ""; print substr($0, 2) }' "$1.txt"; } # CASE WORD: what the kernel said
says() { # NAME TEXT: status --dm
  [ "$("$DMSNAP" status d "$1" --dm)" = "$2" ] || fail "$1: status --dm says '$("$DMSNAP" status d "$1" --dm)', not '$2'"
}
write() { dd if=/dev/urandom of="$1" bs=4K seek="$2" count="$3" conv=notrunc,fsync status=none; } # FILE PAGE COUNT
materialize mixed-c8
cp mixed-c8/*.img .
cp cow.img kernel.img
cp origin.img was.img

# read-only: files, and the loop devices of the manual's example
for devices in files loops; do
  cow=cow.img origin=origin.img
  [ $devices = files ] || cow=$(losetup --find --show cow.img) origin=$(losetup --find --show origin.img)
  serve "$origin" d --read-only --attach "kernel=$cow"
  [ "$(sha d/snapshots/kernel)" = "$(told mixed-c8 snap.snapshot_sha256)" ] || fail "$cow: not what the kernel showed"
  [ "$(sha d/origin)" = "$(told mixed-c8 origin_sha256)" ] || fail "$origin: not what the kernel showed"
  says kernel "$(told mixed-c8 snap.status)"
  expect_failure 1 "Read-only" dd if=/dev/zero of=d/snapshots/kernel bs=4K count=1 conv=notrunc
  unserve d
done
losetup -d "$cow" "$origin"
cmp cow.img kernel.img && cmp origin.img was.img && [ ! -e origin.img.dmsnap ] || fail "a read-only mount wrote something"

# used as any other: keeps the old content, can be written, is found again without --attach, lies where it lay
serve origin.img d --attach kernel=cow.img
says kernel "$(told mixed-c8 snap.status)"
cp d/snapshots/kernel expected.img
write d/origin 100 300
cmp d/snapshots/kernel expected.img || fail "the snapshot does not keep what the origin had"
cp d/origin origin.expected
write d/snapshots/kernel 350 100
cp d/snapshots/kernel expected.img
cmp d/origin origin.expected || fail "a write to the snapshot changed the origin"
"$DMSNAP" create d ours > out.txt 2> err.txt
unserve d
"$DMSNAP" check --origin origin.img cow.img > out.txt || fail "not sound afterwards: $(cat out.txt)"
serve origin.img d
cmp d/snapshots/kernel expected.img && cmp d/origin origin.expected || fail "after mounting again"
[ ! -e origin.img.dmsnap/kernel.cow ] || fail "moved into the store"
unserve d
expect_failure 1 "kernel" "$DMSNAP" mount origin.img d --attach kernel=kernel.img

# shorter than the origin, which was extended afterwards: as long as it was told, nothing is kept of what lies behind its end,
# it and a clone of it are found again with that length, and another length is refused
materialize shorter-than-origin-c16
cp shorter-than-origin-c16/origin.img long.img
cp shorter-than-origin-c16/cow.img short.img
serve long.img d --attach short:1051136=short.img
[ "$(stat -c %s d/snapshots/short)" = 1051136 ] || fail "not as long as it was told: $(stat -c %s d/snapshots/short)"
[ "$(sha d/snapshots/short)" = "$(told shorter-than-origin-c16 snap.snapshot_sha256)" ] || fail "not what the kernel showed"
says short "$(told shorter-than-origin-c16 snap.status)"
write d/origin 300 100
says short "$(told shorter-than-origin-c16 snap.status)"
expect_failure 1 "" dd if=/dev/zero of=d/snapshots/short bs=512 seek=2053 count=1 conv=notrunc,fsync
"$DMSNAP" create d --of short clone > out.txt 2> err.txt
unserve d
expect_failure 1 "is recorded with 1051136 bytes" "$DMSNAP" mount long.img d --attach short:1M=short.img
serve long.img d --attach short:1051136=short.img
for name in short clone; do
  [ "$(stat -c %s d/snapshots/$name)" = 1051136 ] || fail "$name: another length after mounting again"
  [ "$(sha d/snapshots/$name)" = "$(told shorter-than-origin-c16 snap.snapshot_sha256)" ] || fail "$name: not as it was"
done
write d/origin 0 250
[ "$(sha d/snapshots/clone)" = "$(told shorter-than-origin-c16 snap.snapshot_sha256)" ] || fail "the clone is not as it was"
"$DMSNAP" remove --wait d short 2> err.txt || fail "remove: $(cat err.txt)"
[ "$(sha d/snapshots/clone)" = "$(told shorter-than-origin-c16 snap.snapshot_sha256)" ] || fail "the clone is not as it was without its base"
unserve d
expect_failure 1 "more than the origin has" "$DMSNAP" mount long.img d --attach short:4M=short.img
for length in 0 513; do expect_failure 2 "multiple of 512" "$DMSNAP" mount long.img d --attach "short:$length=short.img"; done

# missing: read-only, and said; put back all is well; removed and mounted again the origin can be written
mv cow.img away.img
serve origin.img d
[ "$("$DMSNAP" status d --json | jq -r '.read_only, (.snapshots[] | select(.name == "kernel").state)' | xargs)" = "true missing" ] || fail "$("$DMSNAP" status d)"
grep -q "kernel is missing" log d/.dmsnap/status || fail "nobody says what is missing: $(cat log d/.dmsnap/status)"
for file in d/origin d/snapshots/ours; do expect_failure 1 "Read-only" dd if=/dev/zero of=$file bs=4K count=1 conv=notrunc; done
cmp d/origin origin.expected && cmp d/snapshots/ours origin.expected || fail "what is there is not served"
expect_failure 1 "missing" "$DMSNAP" create d more
unserve d
ln -s away.img link.img
serve origin.img d --attach kernel=./link.img
cmp d/snapshots/kernel expected.img || fail "found elsewhere, but not as it was"
dd if=origin.expected of=d/origin bs=4K count=1 conv=notrunc status=none || fail "read-only, although the missing one was found"
unserve d
serve origin.img d --attach kernel=./link.img
unserve d
mv away.img cow.img
serve origin.img d --attach kernel=cow.img
cmp d/snapshots/kernel expected.img || fail "put back, but not as it was"
unserve d
mv cow.img away.img
serve origin.img d
"$DMSNAP" remove d kernel || fail "a missing snapshot cannot be removed"
if [ "$("$DMSNAP" status d --json | jq -r .read_only)" = false ]; then
  dd if=origin.expected of=d/origin bs=4K count=1 conv=notrunc status=none 2> err.txt || fail "status says that the origin can be written: $(cat err.txt)"
fi
unserve d
serve origin.img d
write d/origin 0 1 || fail "still read-only without the missing snapshot"
unserve d
cp away.img cow.img

# remove on a set that is not mounted: the attached file stays as it is
rm -rf origin.img.dmsnap
cp origin.expected origin.img
serve origin.img d --attach kernel=cow.img
"$DMSNAP" create d ours > out.txt 2> err.txt
expect_failure 1 "" "$DMSNAP" remove origin.img kernel
unserve d
cp cow.img stays.img
for name in kernel ours; do "$DMSNAP" remove origin.img $name || fail "remove $name"; done
cmp cow.img stays.img || fail "remove wrote to the attached file"
[ ! -e origin.img.dmsnap/ours.cow ] || fail "remove left the COW file"
expect_failure 1 "no snapshot" "$DMSNAP" remove origin.img kernel
serve origin.img d
[ -z "$(ls d/snapshots)" ] || fail "still there: $(ls d/snapshots)"
unserve d

# refused in one line; nothing is recorded, so that the next mount works
refuse() { # TEXT OPTION...
  expect_failure 1 "$1" "$DMSNAP" mount origin.img d "${@:2}"
  [ "$(wc -l < err.txt)" -eq 1 ] || fail "${*:2}: not one line: $(cat err.txt)"
  [ "$(jq -r '.snapshots | length' origin.img.dmsnap/set.json)" -eq 0 ] || fail "${*:2}: refused, but recorded: $(jq -c .snapshots origin.img.dmsnap/set.json)"
}
damaged() { # TEXT OFFSET BYTES
  cp kernel.img bad.img
  printf "$3" | dd of=bad.img bs=1 seek="$2" conv=notrunc status=none
  cp bad.img bad.was
  refuse "$1" --attach bad=bad.img
  cmp bad.img bad.was || fail "a refused file was changed"
}
damaged "blank" 0 '\0\0\0\0'
damaged "no COW device" 0 'JUNK'
damaged "version 2" 8 '\2'
damaged "chunk size" 12 '\7'
damaged "entry 0" 4099 '\177'
truncate -s 0 bad.img && refuse "bad" --attach bad=bad.img
truncate -s 8M bad.img && refuse "blank" --attach bad=bad.img
head -c 100000 kernel.img > bad.img && refuse "beyond the end" --attach bad=bad.img
refuse "No such file" --attach bad=nowhere.img
refuse "origin itself" --attach bad=origin.img
refuse "name" --attach a/b=kernel.img
refuse "in use" --attach first=kernel.img --attach second=kernel.img
refuse "twice" --attach first=kernel.img --attach first=bad.img
loop=$(losetup --find --show kernel.img)
refuse "kernel.img is in use elsewhere (loop device $loop)" --attach first=kernel.img
losetup -d "$loop"
truncate -s 8M zero.img && refuse "blank" --attach first=kernel.img --attach second=zero.img

# full: what the kernel left invalid is invalid; P and PO become what kernel-made ones become
materialize overflow-P-origin-c16
serve overflow-P-origin-c16/origin.img old --attach dead=overflow-P-origin-c16/cow.img
[ "$("$DMSNAP" status old dead --dm)" = "$(told overflow-P-origin-c16 snap.status)" ] || fail "invalid: $("$DMSNAP" status old dead --dm)"
! cat old/snapshots/dead > out.txt 2> err.txt || fail "what the kernel left invalid can be read"
unserve old
cp was.img origin.img
rm -rf origin.img.dmsnap
serve origin.img d --attach kernel=kernel.img
"$DMSNAP" create d own --type PO --size 64K > out.txt 2> err.txt
"$DMSNAP" create d other --type P --size 64K > out.txt 2> err.txt
for name in own other; do
  ! write d/snapshots/$name 0 20 2> err.txt || fail "20 chunks fit into 16"
done
says other "0 16384 snapshot Invalid"
says own "0 16384 snapshot Overflow"
cmp -n $((6 * 1048576)) -i 1048576 d/snapshots/own was.img || fail "an overflowed snapshot cannot be read"
! write d/snapshots/own 0 1 2> err.txt || fail "an overflowed snapshot takes writes to chunks that it has"
write d/origin 0 1
says own "0 16384 snapshot Overflow"
unserve d
serve origin.img d
says own "0 16384 snapshot 128/128 16"
says other "0 16384 snapshot Invalid"
cp d/snapshots/kernel kernel.now
write d/origin 20 1
says own "0 16384 snapshot Invalid"
cmp d/snapshots/kernel kernel.now || fail "a neighbour of an invalid one has changed"
cp d/origin expected.img
dd if=was.img of=d/origin bs=64K conv=notrunc,fsync status=none
says kernel "0 16384 snapshot Invalid"
! head -c 4096 d/snapshots/kernel > out.txt 2> err.txt || fail "an invalid snapshot can be read"
cmp d/origin was.img || fail "the origin is not what was written"
unserve d
[ "$(od -An -tu4 -j4 -N4 kernel.img | xargs)" = 0 ] || fail "the kernel would take the invalid store for a valid one"
