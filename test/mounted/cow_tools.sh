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
unserve d

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

# damage: found, refused by dump, repaired; the rest of the snapshot is what it was
serve disk.img d && cp d/snapshots/snap before.img && unserve d
cp $cow damaged.cow
lost=$("$DMSNAP" dump --no-fold $cow | grep '^[0-9]' | sed -n 61p | cut -d' ' -f1) # the origin chunk of entry 60
printf '\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0' | dd of=damaged.cow bs=1 seek=$((4096 + 60 * 16)) conv=notrunc status=none
sum=$(sha damaged.cow)
status=0; "$DMSNAP" check damaged.cow > check.txt || status=$?
[ $status -eq 3 ] || fail "check of a damaged store: exit status $status"
grep -q "area 0, entry 60 (byte 5056), origin chunk 9, COW chunk 1" check.txt || fail "$(cat check.txt)"
[ -z "$("$DMSNAP" check -q damaged.cow || true)" ] || fail "-q prints"
expect_failure 3 "entry 60" "$DMSNAP" dump damaged.cow
"$DMSNAP" repair damaged.cow repaired.cow > out.txt
grep -q "679 exceptions kept, 1 dropped" out.txt || fail "$(cat out.txt)"
"$DMSNAP" check -q repaired.cow || fail "a repaired store is not sound"
[ "$(sha damaged.cow)" = "$sum" ] || fail "the damaged store was written"
cp repaired.cow $cow
serve disk.img d
cp before.img expected.img # but for 4096 bytes, which show the origin now
dd if=disk.img of=expected.img bs=4K skip="$lost" seek="$lost" count=1 conv=notrunc status=none
cmp expected.img d/snapshots/snap || fail "a repaired store shows something else"
unserve d

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
head -c 100000 /dev/urandom > random
head -c 100000 /dev/zero > blank
head -c 100000 $cow > short.cow
for verb in check dump "repair:out.cow" "diff:disk.img"; do
  rest=${verb#*:}; [ "$rest" != "$verb" ] || rest=
  expect_failure 1 "empty" "$DMSNAP" "${verb%:*}" empty $rest
  expect_failure 1 "directory" "$DMSNAP" "${verb%:*}" live $rest
  expect_failure 1 "no COW device" "$DMSNAP" "${verb%:*}" random $rest
  expect_failure 1 "blank" "$DMSNAP" "${verb%:*}" blank $rest
  expect_failure 1 "No such file" "$DMSNAP" "${verb%:*}" missing $rest
done
status=0; "$DMSNAP" check short.cow > out.txt || status=$?
[ $status -eq 3 ] || fail "check of a store that was cut off: exit status $status"
"$DMSNAP" repair short.cow out.cow > out.txt && "$DMSNAP" check -q out.cow || fail "repair of a store that was cut off"
expect_failure 1 "exists already" "$DMSNAP" repair short.cow out.cow
expect_failure 1 "exists already" "$DMSNAP" restore dump.txt out.cow --data $cow
expect_failure 1 "cut off" "$DMSNAP" restore <(echo "dmsnap-dump 1") new.cow --data $cow
expect_failure 2 "--data" "$DMSNAP" restore dump.txt new.cow
mkdir small && mount -t tmpfs -o size=64K none small
expect_failure 1 "No space" "$DMSNAP" repair damaged.cow small/out.cow
expect_failure 1 "No space" "$DMSNAP" restore dump.txt small/out.cow --data $cow
[ -z "$(ls -A small)" ] || fail "left on a full disk: $(ls -A small)"
umount small
expect_failure 1 "No space" bash -c '"$0" dump --no-fold "$1" > /dev/full' "$DMSNAP" $cow
[ ! -e new.cow ] || fail "a partial output was left"
