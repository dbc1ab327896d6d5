#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# .dmsnap/delta/NAME, NAME@OTHER and their maps: sparse where nothing differs, copied by tools that keep holes and put back
# into an image that then equals the snapshot; with the map also by tools that make holes of zeros, as cp does. A chunk that became zero
# counts; what is wrong is refused before anything is written.
. "$(dirname "$0")/functions.sh"
head -c 16M /dev/urandom > disk.img
cp disk.img base.img
for layout in independent chained; do
  rm -rf disk.img.dmsnap
  cp base.img disk.img
  serve disk.img d --layout $layout
  "$DMSNAP" create d monday > out.txt 2> err.txt
  cp d/snapshots/monday monday.img
  for block in 3 4 5 700 701 2000 4095; do
    dd if=/dev/urandom of=d/origin bs=4K seek=$block count=1 conv=notrunc status=none
  done
  dd if=/dev/zero of=d/origin bs=4K seek=1000 count=8 conv=notrunc,fsync status=none # became zero
  "$DMSNAP" create d tuesday > out.txt 2> err.txt
  cp d/snapshots/tuesday tuesday.img
  delta=d/.dmsnap/delta
  printf '%s\n' '12288 12288' '2867200 8192' '4096000 32768' '8192000 4096' '16773120 4096' > expected.map
  cmp $delta/tuesday@monday.map expected.map || fail "$layout: the map: $(cat $delta/tuesday@monday.map)"
  [ "$(stat -c '%s %b' $delta/tuesday@monday)" = "$((16 << 20)) $((15 * 8))" ] || fail "size and blocks: $(stat -c '%s %b' $delta/tuesday@monday)"
  python3 - "$delta/tuesday@monday" << 'PYTHON' || fail "$layout: SEEK_DATA and SEEK_HOLE"
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
found, at = [], 0
while True:
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        assert error.errno == errno.ENXIO
        break
    at = os.lseek(fd, data, os.SEEK_HOLE)
    found.append(f"{data} {at - data}\n")
assert found == open("expected.map").readlines(), found
assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
try:
    os.open(sys.argv[1], os.O_RDWR)
    raise AssertionError("can be written")
except OSError as error:
    assert error.errno in (errno.EROFS, errno.EACCES), error
os.lseek(fd, 0, 0)
content = b"".join(iter(lambda: os.read(fd, 100_000), b""))
tuesday = open("tuesday.img", "rb").read()
for line in found:
    offset, length = map(int, line.split())
    assert content[offset:offset + length] == tuesday[offset:offset + length]
    content = content[:offset] + bytes(length) + content[offset + length:]
assert content == bytes(len(tuesday)), "no zeros in the holes"
PYTHON

  # restored FILE OPTION...: monday becomes tuesday by it
  restored() {
    cp monday.img restored.img
    "$DMSNAP" import --delta "$@" restored.img > out.txt 2> err.txt || fail "import $*: $(cat err.txt)"
    cmp restored.img tuesday.img || fail "$layout: import $* does not give tuesday"
  }
  rm -rf copies && mkdir copies
  cp --sparse=auto $delta/tuesday@monday $delta/tuesday@monday.map copies/
  restored copies/tuesday@monday --map copies/tuesday@monday.map
  [ "$(stat -c %b copies/tuesday@monday)" -le $((16 * 8)) ] || fail "the copy is not sparse"
  for tar in tar bsdtar; do
    command -v $tar > /dev/null || continue
    rm -rf copies && mkdir copies
    sparse=$([ $tar = tar ] && echo -S || echo --read-sparse)
    $tar $sparse -cf delta.tar -C $delta tuesday@monday tuesday@monday.map 2> err.txt || fail "$tar: $(cat err.txt)"
    [ "$(stat -c %s delta.tar)" -lt $((1 << 20)) ] || fail "$tar: $(stat -c %s delta.tar) bytes"
    $tar $([ $tar = tar ] && echo -S) -xf delta.tar -C copies
    restored copies/tuesday@monday
    restored copies/tuesday@monday --map copies/tuesday@monday.map
  done
  # zeros become holes: only the map tells
  cp --sparse=always $delta/tuesday@monday copies/zeros-are-holes
  restored copies/zeros-are-holes --map copies/tuesday@monday.map
  cp monday.img restored.img
  "$DMSNAP" import --delta copies/zeros-are-holes restored.img > out.txt 2> err.txt
  ! cmp -s restored.img tuesday.img || fail "this test shows nothing"

  # against the base: the origin, or in a chain the newer one
  echo changed | dd of=d/origin conv=notrunc,fsync status=none
  cp --sparse=auto $delta/tuesday $delta/tuesday.map copies/
  [ "$(cat copies/tuesday.map)" = "0 4096" ] || fail "$layout: tuesday.map: $(cat copies/tuesday.map)"
  cp d/origin restored.img
  "$DMSNAP" import --delta copies/tuesday restored.img 2> err.txt && cmp restored.img tuesday.img || fail "tuesday from the origin"
  [ "$(cat $delta/tuesday@origin.map)" = "0 4096" ] || fail "tuesday@origin"
  # a second copy sees what was written since
  dd if=/dev/urandom of=d/snapshots/tuesday bs=4K seek=9 count=1 conv=notrunc,fsync status=none
  cp --sparse=auto $delta/tuesday.map $delta/tuesday copies/
  [ "$(xargs < copies/tuesday.map)" = "0 4096 36864 4096" ] || fail "$layout: later: $(cat copies/tuesday.map)"
  cmp <(dd if=copies/tuesday bs=4K skip=9 count=1 status=none) <(dd if=d/snapshots/tuesday bs=4K skip=9 count=1 status=none) || fail "the later content"

  [ "$(ls $delta | xargs)" = "monday monday.map tuesday tuesday.map" ] || fail "lists $(ls $delta | xargs)"
  for none in nobody nobody.map tuesday@nobody tuesday@ @monday tuesday@monday@monday .map; do
    ! stat "$delta/$none" > out.txt 2> err.txt && grep -q 'No such file' err.txt || fail "$none: $(cat err.txt)"
  done
  ! touch $delta/new 2> err.txt || fail "touch"
  ! rm -f $delta/tuesday 2> err.txt || fail "rm"
  exec 6< $delta/tuesday
  expect_failure 1 "in use" "$DMSNAP" remove d tuesday
  exec 6<&-
  for name in monday tuesday; do
    for _ in $(seq 50); do ! "$DMSNAP" remove --wait d $name 2> err.txt || break; sleep 0.1; done
  done
  [ "$("$DMSNAP" list d --json)" = "[]" ] || fail "$(cat err.txt)"
  ! stat $delta/tuesday > out.txt 2>&1 || fail "still there"
  unserve d
done

# refused, and the image is as it was
cp monday.img restored.img
refused() { # TEXT OPTION...
  local text=$1
  shift
  expect_failure 1 "$text" "$DMSNAP" import --delta "$@" restored.img
  cmp restored.img monday.img || fail "refused ($text), but something was written"
}
cat copies/tuesday@monday > filled
refused "has no hole" filled
truncate -s 8M short
refused "it belongs to another image" short
for line in '0 0' '4096' '0 4096 7' '0 4096x' '-1 4096' ' ' '0 18446744073709551615' '18446744073709551616 4096' '16777216 1' '16777215 2' 'junk'; do
  printf '0 512\n%s\n' "$line" > bad.map
  refused "bad.map, line 2" copies/tuesday@monday --map bad.map
done
printf '4096 4096\n0 512\n' > bad.map
refused "begins before" copies/tuesday@monday --map bad.map
printf '0 4096\n4096 40' > bad.map
refused "cut off" copies/tuesday@monday --map bad.map
expect_failure 2 "--map is for --delta" "$DMSNAP" import --map bad.map copies/tuesday@monday restored.img
expect_failure 1 "nothing: No such file" "$DMSNAP" import --delta nothing restored.img
