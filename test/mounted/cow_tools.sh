#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check, dump, restore, repair and diff on what the program wrote and on what a kernel wrote; what they cannot look at is
# refused in one line, with the documented exit status, and no output is left under its final name.
. "$(dirname "$0")/functions.sh"
truncate -s 32M disk.img
serve disk.img d
"$DMSNAP" create d snap > out.txt 2> err.txt
dd if=/dev/urandom of=d/origin bs=64K count=40 seek=3 conv=notrunc status=none
dd if=/dev/urandom of=d/snapshots/snap bs=4K count=40 seek=3333 conv=notrunc status=none
cow=disk.img.dmsnap/snap.cow
expect_failure 1 "in use" "$DMSNAP" check $cow
expect_failure 1 "in use" "$DMSNAP" repair $cow out.cow
expect_failure 1 "in use" "$DMSNAP" repair --force out.txt $cow
loop=$(losetup --find --show --read-only $cow) # a loop device knows nothing of the lock on its file
expect_failure 1 "in use" "$DMSNAP" check "$loop"
above=$(losetup --find --show --read-only "$loop")
expect_failure 1 "in use" "$DMSNAP" check "$above"
losetup -d "$above"
unserve d
"$DMSNAP" check -q "$loop" || fail "a loop device over a store that nobody uses"
expect_failure 2 "the same file" "$DMSNAP" repair --force "$loop" $cow
losetup -d "$loop"
cp $cow below.cow # nor does a file know of a lock on a loop device over it
loop=$(losetup --find --show below.cow)
serve disk.img d --read-only --attach below="$loop"
"$DMSNAP" check -q below.cow || fail "a store that is only looked at"
unserve d
truncate -s 32M other.img
serve other.img d --attach below="$loop"
expect_failure 1 "in use" "$DMSNAP" check below.cow
unserve d
losetup -d "$loop"

"$DMSNAP" check $cow --origin disk.img > check.txt || fail "$(cat check.txt)"
grep -q "sound: 680 exceptions" check.txt || fail "$(cat check.txt)"
[ "$("$DMSNAP" check $cow --json | jq '.sound, .exceptions, .areas' | xargs)" = "true 680 3" ] || fail "check --json"
[ "$(blkid -p -s TYPE -o value $cow)" = DM_snapshot_cow ] || fail "blkid does not know it"
for form in "" --no-fold --json; do
  "$DMSNAP" dump $form $cow > dump.txt
  "$DMSNAP" restore dump.txt restored.cow --data $cow --force
  cmp restored.cow $cow || fail "a restored dump ($form) is not the store"
done
[ "$("$DMSNAP" diff $cow disk.img | xargs)" = "196608 2621440 13651968 163840" ] || fail "diff: $("$DMSNAP" diff $cow disk.img)"
"$DMSNAP" diff --json $cow disk.img | jq -e 'map(.length) | add == 2785280' > out.txt || fail "diff --json"
[ "$("$DMSNAP" diff $cow disk.img)" = "$("$DMSNAP" diff --exceptions $cow disk.img)" ] || fail "diff --exceptions"

# dump --map: the pictures show what the list says; text has the width of the terminal, and blocks in UTF-8 only
"$DMSNAP" dump $cow > dump.txt
"$DMSNAP" dump --map --origin disk.img -o map.svg $cow
"$DMSNAP" dump --map --origin disk.img --format png $cow > map.png
python3 "$source_folder/../support/check_map.py" dump.txt $((32 << 20)) map.svg map.png || fail "the pictures of the map"
LC_ALL=C "$DMSNAP" dump --map --origin disk.img $cow > map.txt
[ "$(head -1 map.txt)" = "$cow: image of 32 MiB, chunks of 4.0 KiB, 680 exceptions, 8.3% copied" ] || fail "$(cat map.txt)"
[ "$(grep -c '|$' map.txt)" -eq 15 ] && [ "$(sed -n 3p map.txt | wc -c)" -eq 81 ] || fail "$(cat map.txt)"
[ "$(grep -o '#' map.txt | wc -l)" -eq 85 ] || fail "84 whole cells of 8 chunks, and the legend: $(cat map.txt)"
LC_ALL=C.UTF-8 "$DMSNAP" dump --map $cow > map.txt
grep -q "the image's first 14 MiB" map.txt && grep -q -- "--origin" map.txt && grep -q '█' map.txt || fail "$(cat map.txt)"
LC_ALL=C script -qec "stty cols 132; '$DMSNAP' dump --map $cow" /dev/null < /dev/null | tr -d '\r' > map.txt
[ "$(grep '|$' map.txt | head -1 | wc -c)" -eq 133 ] || fail "not as wide as the terminal: $(cat map.txt)"
script -qec "'$DMSNAP' dump --map --format png $cow; echo status \$?" /dev/null < /dev/null > map.txt
grep -q "not written to a terminal" map.txt && grep -q "status 2" map.txt || fail "PNG on a terminal: $(cat map.txt)"
expect_failure 1 "exists already" "$DMSNAP" dump --map -o map.svg $cow
expect_failure 2 "the same file" "$DMSNAP" dump --map -o $cow --force $cow
expect_failure 2 "text, svg or png" "$DMSNAP" dump --map --format gif $cow
expect_failure 2 "for --map" "$DMSNAP" dump --origin disk.img $cow
expect_failure 2 "cannot be combined" "$DMSNAP" dump --map --json $cow
"$DMSNAP" dump -o named.txt $cow && cmp named.txt dump.txt || fail "dump --output"
truncate -s 8M small.img
expect_failure 3 "beyond the end" "$DMSNAP" dump --map --origin small.img $cow

# damage: found, refused by dump, repaired; the rest of the snapshot is what it was
serve disk.img d && cp d/snapshots/snap before.img && unserve d
cp $cow whole.cow && cp $cow damaged.cow
lost=$("$DMSNAP" dump --no-fold $cow | grep '^[0-9]' | sed -n 61p | cut -d' ' -f1) # the origin chunk of entry 60
printf '\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0' | dd of=damaged.cow bs=1 seek=$((4096 + 60 * 16)) conv=notrunc status=none
sum=$(sha damaged.cow)
status=0; "$DMSNAP" check damaged.cow > check.txt || status=$?
[ $status -eq 3 ] || fail "check of a damaged store: exit status $status"
grep -q "area 0, entry 60 (byte 5056), origin chunk 9, COW chunk 1" check.txt || fail "$(cat check.txt)"
[ -z "$("$DMSNAP" check -q damaged.cow || true)" ] || fail "-q prints"
expect_failure 2 "exclude each other" "$DMSNAP" check -q --json damaged.cow
expect_failure 3 "entry 60" "$DMSNAP" dump damaged.cow
expect_failure 3 "entry 60" "$DMSNAP" dump --map -o damaged.svg damaged.cow
[ -z "$(ls -A | grep damaged.svg)" ] || fail "a map of a damaged store"
"$DMSNAP" repair damaged.cow repaired.cow > out.txt
grep -q "679 exceptions kept, 1 dropped" out.txt || fail "$(cat out.txt)"
"$DMSNAP" check -q repaired.cow || fail "a repaired store is not sound"
[ "$(sha damaged.cow)" = "$sum" ] || fail "the damaged store was written"
[ "$lost" = 68 ] && grep -q "COW chunk 62, .* is named by no entry" out.txt || fail "chunk $lost is lost, and it says $(cat out.txt)"
cp repaired.cow $cow
serve disk.img d
cp before.img expected.img # but for 4096 bytes, which show the origin now
dd if=disk.img of=expected.img bs=4K skip="$lost" seek="$lost" count=1 conv=notrunc status=none
cmp expected.img d/snapshots/snap || fail "a repaired store shows something else"
unserve d

# what is said to be lost is what is lost: entry 60 := (ORIGIN, COW), each as 8 bytes; what repair says, and the chunks that differ
repaired_shows() { # ORIGIN-BYTES COW-BYTES TEXT CHUNK...
  local origin=$1 copy=$2 text=$3
  shift 3
  cp whole.cow damaged.cow && printf "$origin$copy" | dd of=damaged.cow bs=1 seek=5056 conv=notrunc status=none
  "$DMSNAP" repair damaged.cow repaired.cow --origin disk.img --force > out.txt
  grep -qF -- "$text" out.txt || fail "says '$(cat out.txt)', not '$text'"
  [ -z "$(sort out.txt | uniq -d)" ] || fail "two lines alike: $(cat out.txt)"
  cp repaired.cow $cow && serve disk.img d && cp d/snapshots/snap after.img && unserve d
  cmp -l before.img after.img | awk '{ print int(($1 - 1) / 4096) }' | uniq > differ.txt || true
  [ "$(xargs < differ.txt)" = "$*" ] || fail "after entry 60 became $origin$copy these chunks differ: $(xargs < differ.txt), not $*"
}
zero='\0\0\0\0\0\0'
repaired_shows "\\x44\0$zero" "\\x99\\x99\\x99\0\0\0\0\0" "if its origin chunk is right, the 4096 bytes from byte 278528 of the image" 68
repaired_shows "\\x05\\x0d$zero" "\1\0$zero" "the 4096 bytes from byte 13651968 of the image show what the origin has now" 68 3333
repaired_shows "\\x90\\x5f\\x01\0\0\0\0\0" "\\x3e\0$zero" "where in the image it belongs nobody can tell" 68
repaired_shows "\0\0$zero" "\0\0$zero" "not taken: 619 entries behind the end of the list (metadata area 0, entry 60)" $(seq 68 687)
grep -q "2535424 bytes of the image" out.txt && grep -q "the 2535424 bytes from byte 282624" out.txt || fail "$(cat out.txt)"
cp whole.cow damaged.cow && truncate -s 1056768 damaged.cow
"$DMSNAP" repair damaged.cow repaired.cow --force > out.txt
grep -q "from there on is lost" out.txt && grep -q "^256 exceptions kept, 0 dropped" out.txt || fail "$(cat out.txt)"
cp whole.cow $cow

# what a kernel wrote
python3 "$source_folder/../vectors/materialize.py" "$source_folder/../vectors/cases/mixed-c8" kernel > out.txt
"$DMSNAP" check kernel/cow.img --origin kernel/origin.img > out.txt || fail "a kernel's store: $(cat out.txt)"
"$DMSNAP" dump kernel/cow.img > dump.txt && "$DMSNAP" restore dump.txt kernel/again.img --data kernel/cow.img
cp kernel/again.img again.cow && serve kernel/origin.img d --attach again="$PWD/again.cow"
cp d/snapshots/again again.img && unserve d && rm -r kernel/origin.img.dmsnap
serve kernel/origin.img d --attach kernel="$PWD/kernel/cow.img"
cmp again.img d/snapshots/kernel || fail "a restored store of a kernel shows something else"
unserve d

# what is no store, and outputs that cannot be
: > empty
{ printf x; head -c 100000 /dev/urandom; } > random # its first line is no comment, and not empty
head -c 102400 /dev/zero > blank
head -c 100000 $cow > short.cow
for verb in check dump "dump:--map" "repair:out.cow" "diff:disk.img"; do
  rest=${verb#*:}; [ "$rest" != "$verb" ] || rest=
  expect_failure 1 "empty" "$DMSNAP" "${verb%:*}" empty $rest
  said=directory; [ "${verb%:*}" != diff ] || said="no dmsnap mount" # there a folder is the mount whose views are compared
  expect_failure 1 "$said" "$DMSNAP" "${verb%:*}" live $rest
  expect_failure 1 "no COW device" "$DMSNAP" "${verb%:*}" random $rest
  expect_failure 1 "blank" "$DMSNAP" "${verb%:*}" blank $rest
  expect_failure 1 "No such file" "$DMSNAP" "${verb%:*}" missing $rest
done
expect_failure 1 "empty" "$DMSNAP" restore empty new.cow --data $cow
expect_failure 1 "Is a directory" "$DMSNAP" restore live new.cow --data $cow
expect_failure 1 "random: line 1" "$DMSNAP" restore random new.cow --data $cow
[ -z "$(tr -d '\n -~' < err.txt)" ] || fail "bytes of a file that is no dump are shown as they are"
expect_failure 1 "blank: line 1" "$DMSNAP" restore blank new.cow --data $cow
loop=$(losetup --find --show --read-only blank)
expect_failure 1 "no regular file" "$DMSNAP" restore "$loop" new.cow --data $cow
losetup -d "$loop"
expect_failure 1 "no regular file" timeout 10 "$DMSNAP" restore /dev/zero new.cow --data $cow
expect_failure 1 "too long" timeout 10 "$DMSNAP" restore - new.cow --data $cow < /dev/zero
for data in empty random blank live; do
  expect_failure 1 "$data" "$DMSNAP" restore dump.txt new.cow --data $data
done
status=0; "$DMSNAP" check short.cow > out.txt || status=$?
[ $status -eq 3 ] || fail "check of a store that was cut off: exit status $status"
"$DMSNAP" repair short.cow out.cow > out.txt && "$DMSNAP" check -q out.cow || fail "repair of a store that was cut off"
expect_failure 1 "exists already" "$DMSNAP" repair short.cow out.cow
expect_failure 1 "exists already" "$DMSNAP" restore dump.txt out.cow --data $cow
expect_failure 1 "cut off" "$DMSNAP" restore - new.cow --data $cow <<< "dmsnap-dump 1"
"$DMSNAP" dump $cow | "$DMSNAP" restore - piped.cow --data $cow
cmp piped.cow $cow || fail "a dump through a pipe"
expect_failure 2 "--data" "$DMSNAP" restore dump.txt new.cow
mkdir small && mount -t tmpfs -o size=64K none small
expect_failure 1 "No space" "$DMSNAP" repair damaged.cow small/out.cow
expect_failure 1 "No space" "$DMSNAP" restore dump.txt small/out.cow --data $cow
head -c 64K /dev/zero > small/filler
expect_failure 1 "No space" "$DMSNAP" dump --map -o small/map.svg $cow
rm small/filler
[ -z "$(ls -A small)" ] || fail "left on a full disk: $(ls -A small)"
umount small
expect_failure 1 "No space" bash -c '"$0" dump --no-fold "$1" > /dev/full' "$DMSNAP" $cow
[ ! -e new.cow ] || fail "a partial output was left"
