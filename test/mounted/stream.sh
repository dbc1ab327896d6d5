#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nightly backups of a live ext4, full once and then incremental, for seven rounds in each layout: whatever the round, the image
# elsewhere is that round's snapshot, and no more is sent than has changed. A stream that does not fit is refused, and one that
# was cut off, or whose import was killed anywhere, leads to the same image when it is imported again.
. "$(dirname "$0")/functions.sh"
load() { # files that come, change and go
  local i
  for i in 1 2 3 4 5 6; do head -c $((RANDOM * 40)) /dev/urandom > live/file-$((RANDOM % 12)); done
  rm -f live/file-$((RANDOM % 12))
  cp -r /etc/default live/copy-$1
  fio --name=load --directory=live --filename=database --size=8m --rw=randwrite --bs=4k --io_size=2m --ioengine=psync --randseed="$1" \
    --fsync=32 > fio.txt 2>&1 || { cat fio.txt; fail "load"; }
}
state_of() { jq -r "$2" "$1.dmsnap-import.json"; }
# changed OLDER NEWER: bytes of the blocks of 4 KiB in which the two images differ
changed() {
  python3 -c 'import sys
older, newer = (open(each, "rb") for each in sys.argv[1:])
print(sum(4096 for _ in range(96 << 8) if older.read(4096) != newer.read(4096)))' "$@"
}

# nights LAYOUT
nights() {
  local layout=$1 night before="" sent wanted most=0
  truncate -s 96M disk.img
  mkfs.ext4 -q -F disk.img
  serve disk.img d --layout "$layout"
  mount -o loop d/origin live
  head -c 16M /dev/urandom > live/still
  for night in 1 2 3 4 5 6 7; do
    load $night
    sync -f live
    "$DMSNAP" create d night$night > out.txt 2> err.txt || fail "create: $(cat err.txt)"
    # what is written now, and was not since the night before, has a copy in both, and the copies are equal
    dd if=/dev/urandom of=live/still bs=1M count=2 seek=$((night * 2)) conv=notrunc,fsync status=none
    (while [ ! -e stop ]; do cp -r /etc/default live/busy && rm -r live/busy && sync -f live; done) & # nobody waits for a backup
    if [ -z "$before" ]; then
      "$DMSNAP" export d night$night -o night$night.diff 2> err.txt || fail "export: $(cat err.txt)"
    else
      "$DMSNAP" export d night$night --from "$before" -o night$night.diff --progress 2> err.txt || fail "export: $(cat err.txt)"
    fi
    touch stop && wait $! && rm stop
    if [ $((night % 2)) -eq 0 ]; then # compressed ones and pipes take turns
      zstd -q night$night.diff -o night$night.diff.zst
      "$DMSNAP" import night$night.diff.zst backup.img --progress 2> err.txt || fail "import: $(cat err.txt)"
    else
      "$DMSNAP" import - backup.img < night$night.diff 2> err.txt || fail "import: $(cat err.txt)"
    fi
    [ "$(sha backup.img)" = "$(sha d/snapshots/night$night)" ] || fail "$layout, night $night: the backup is not the snapshot"
    [ "$(state_of backup.img .snapshot)" = "night$night" ] || fail "its state is $(state_of backup.img .snapshot)"
    sent=$(stat -c %s night$night.diff)
    if [ -n "$before" ]; then
      wanted=$(changed d/snapshots/"$before" d/snapshots/night$night)
      [ "$wanted" -gt 1000000 ] || fail "nothing much has changed"
      [ "$sent" -le $((wanted * 105 / 100)) ] || fail "$layout, night $night: $sent bytes were sent for $wanted that changed"
      [ $((sent * 1000 / wanted)) -le "$most" ] || most=$((sent * 1000 / wanted))
    fi
    before=night$night
  done
  echo "$layout: at most $most bytes sent for 1000 that changed, rounded to blocks of 4 KiB"
}

nights chained
umount live && unserve d
rm -r disk.img* backup.img* night*.diff*
nights independent

# the last one can be read
mount -o loop,ro,noload backup.img old
[ -f old/database ] && [ "$(sha old/database)" = "$(sha live/database)" ] || fail "a file of the last night"
umount old live

# a reverse difference, zstd from here, and back
"$DMSNAP" export d night3 --from night7 --zstd -o back.zst 2> err.txt || fail "export: $(cat err.txt)"
zstd -q -d back.zst -o back.diff
[ "$(head -c 11 back.diff)" = "rbd diff v1" ] || fail "no rbd diff: $(head -c 11 back.diff)"
cp --sparse=always -a backup.img other.img && cp backup.img.dmsnap-import.json other.img.dmsnap-import.json
"$DMSNAP" import back.zst other.img 2> err.txt || fail "import: $(cat err.txt)"
cmp other.img d/snapshots/night3 || fail "back to night 3"

# what does not fit is refused, and the image stays as it is
sum=$(sha other.img)
expect_failure 1 "other.img is at 'night3' already, and the stream starts from 'night7'" "$DMSNAP" import back.zst other.img
expect_failure 1 "other.img is at 'night3', and the stream starts from 'night6'" "$DMSNAP" import night7.diff other.img
expect_failure 1 "exists already, and the stream is a full one: --force replaces all of it" "$DMSNAP" import night1.diff other.img
expect_failure 1 "there is no new.img, and the stream has only what is not as in 'night6'" "$DMSNAP" import night7.diff new.img
[ ! -e new.img ] && [ ! -e new.img.dmsnap-import.json ] || fail "a refused import leaves something"
[ "$(sha other.img)" = "$sum" ] || fail "a refused import has written"
printf x | dd of=other.img bs=1 seek=50000000 conv=notrunc status=none
expect_failure 1 "other.img was changed since 'night3' was imported" "$DMSNAP" import night4.diff other.img
rm other.img.dmsnap-import.json
expect_failure 1 "nothing tells what other.img holds (other.img.dmsnap-import.json is missing)" "$DMSNAP" import night4.diff other.img
echo '{' > other.img.dmsnap-import.json
expect_failure 1 "other.img.dmsnap-import.json is damaged" "$DMSNAP" import night4.diff other.img
expect_failure 1 "disk.img has snapshots in disk.img.dmsnap, which writes to it would damage" "$DMSNAP" import --force night1.diff disk.img
expect_failure 1 "no rbd diff" "$DMSNAP" import disk.img.dmsnap/night1.cow x.img
expect_failure 1 "No such file" "$DMSNAP" import nothing.diff x.img
expect_failure 1 "exists already: --force replaces it" "$DMSNAP" export d night7 -o back.diff
expect_failure 1 "there is no snapshot 'nobody'" "$DMSNAP" export d nobody -o x.diff
expect_failure 1 "there is no snapshot 'nobody'" "$DMSNAP" export d night7 --from nobody -o x.diff
expect_failure 1 "the origin changes while it is read" "$DMSNAP" export d origin -o x.diff
"$DMSNAP" export d night7 > /dev/full 2> err.txt && fail "written to a full device"
grep -q "write to standard output: No space left on device" err.txt || fail "to a full device: $(cat err.txt)"
status=0
script -qec "$DMSNAP export d night7" /dev/null < /dev/null > terminal.txt || status=$?
[ $status -eq 2 ] && grep -q "a stream is not written to a terminal" terminal.txt || fail "to a terminal: $(cat -v terminal.txt)"
[ ! -e x.diff ] && [ ! -e x.img ] || fail "what failed leaves a file"

# cut off, or damaged where that can be seen: what is wrong, at which byte, and that it is not finished; then the same again
"$DMSNAP" import night1.diff cut.img 2> err.txt
"$DMSNAP" import night2.diff cut.img 2> err.txt
size=$(stat -c %s night3.diff)
for length in $((size - 1)) $((size / 2)) 100000; do
  head -c $length night3.diff > cut.diff
  expect_failure 1 "cut.diff: byte $length: the stream is incomplete" "$DMSNAP" import cut.diff cut.img
  [ "$(state_of cut.img .state)" = unfinished ] || fail "the state says $(state_of cut.img .state)"
  expect_failure 1 "an import from 'night2' to 'night3' into cut.img was not finished" "$DMSNAP" import night4.diff cut.img
done
"$DMSNAP" import night3.diff cut.img 2> err.txt || fail "again: $(cat err.txt)"
cmp cut.img d/snapshots/night3 || fail "again leads to another image"
head -c 1000 night4.diff > cut.diff
expect_failure 1 "cut.diff: byte 1000: the stream is incomplete" "$DMSNAP" import cut.diff cut.img
[ "$(state_of cut.img .snapshot)" = night3 ] || fail "nothing was to be written of a short one"

# killed anywhere, a full one and an incremental one
for stream in night1.diff night2.diff; do
  size=$(stat -c %s $stream)
  for part in 1 3 5 7 9; do
    mkfifo pipe
    "$DMSNAP" import pipe killed.img 2> err.txt & importer=$!
    { head -c $((size * part / 10)) $stream; sleep 1000 & echo $! > sleeper.pid; wait; } > pipe 2> /dev/null & feeder=$!
    until [ -s sleeper.pid ]; do sleep 0.05; done
    kill -9 $importer; wait $importer 2> /dev/null || true
    kill "$(cat sleeper.pid)" $feeder 2> /dev/null || true
    wait $feeder 2> /dev/null || true
    rm -f pipe sleeper.pid
  done
  "$DMSNAP" import $stream killed.img 2> err.txt || fail "after it was killed: $(cat err.txt)"
done
cmp killed.img d/snapshots/night2 || fail "killed and imported again, it is another image"

# a device, and a file in a mount: the state is kept where the user says
loop=$(losetup -f --show cut.img)
expect_failure 2 "name a file with --state" "$DMSNAP" import night4.diff "$loop"
"$DMSNAP" import night4.diff "$loop" --state cut.img.dmsnap-import.json --force 2> err.txt || fail "to a device: $(cat err.txt)"
"$DMSNAP" import night5.diff "$loop" --state cut.img.dmsnap-import.json 2> err.txt || fail "to a device: $(cat err.txt)"
expect_failure 1 "cut.img is in use elsewhere (loop device $loop" "$DMSNAP" import night5.diff cut.img
losetup -d "$loop"
cmp cut.img d/snapshots/night5 || fail "through a device"
"$DMSNAP" import --force night1.diff d/origin --state origin.json 2> err.txt || fail "into a mount: $(cat err.txt)"
cmp d/origin d/snapshots/night1 || fail "into a mount"

# stream, image and state are three files, and none of a set's own
cp night1.diff copy.diff
expect_failure 2 "are the same file" "$DMSNAP" import --force copy.diff cut.img --state cut.img
expect_failure 2 "are the same file" "$DMSNAP" import --force copy.diff cut.img --state copy.diff
ln copy.diff link.diff
expect_failure 2 "are the same file" "$DMSNAP" import --force copy.diff link.diff
cp copy.diff precious
expect_failure 1 "precious" "$DMSNAP" import --force copy.diff cut.img --state precious
cmp night1.diff copy.diff && cmp night1.diff precious || fail "what was refused has changed a file"
set=$("$DMSNAP" status d --json | jq -r .store)
expect_failure 1 "which is a set's own" "$DMSNAP" export --force d night1 -o "$set/set.json"
expect_failure 1 "which is a set's own" "$DMSNAP" import --force copy.diff "$set/night1.cow"
expect_failure 1 "has snapshots in" "$DMSNAP" export --force d night1 -o "${set%.dmsnap}"
expect_failure 1 "is what a mount calls the image itself" "$DMSNAP" create d origin

# an invalid one, a transient one
"$DMSNAP" create d tiny --of night7 --type P --size 16K > out.txt 2>&1
dd if=/dev/urandom of=d/snapshots/tiny bs=4k count=8 conv=notrunc status=none 2> err.txt || true
expect_failure 1 "snapshot 'tiny' is invalid" "$DMSNAP" export d tiny -o x.diff
expect_failure 1 "snapshot 'tiny' is invalid" "$DMSNAP" export d night7 --from tiny -o x.diff
"$DMSNAP" create d fleeting --type N > out.txt 2>&1
"$DMSNAP" export d fleeting -o fleeting.diff 2> err.txt && "$DMSNAP" import fleeting.diff fleeting.img 2> err.txt || fail "of a transient one"
cmp fleeting.img d/snapshots/fleeting || fail "of a transient one"
unserve d
