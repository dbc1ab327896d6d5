#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The origin is rolled back to a snapshot: it shows it at once, from no cache anything else, goes on being written, and all other
# snapshots stay what they were; also in a chain, with the daemon killed on the way, over a mount, paused and slowed down. What
# cannot be is refused, and nothing has changed.
. "$(dirname "$0")/functions.sh"
load() { # FILE SEED
  fio --name=load --filename="$1" --rw=randwrite --bs=4k --io_size=6m --ioengine=psync --randseed="$2" --allow_file_create=0 \
    --fsync=64 > fio.txt 2>&1 || { cat fio.txt; fail "load $1"; }
}
create() { "$DMSNAP" create d "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }
merge() { "$DMSNAP" merge d "$@" > out.txt 2> err.txt || fail "merge $*: $(cat err.txt)"; }
field() { "$DMSNAP" list d --json | jq -r ".[] | select(.name == \"$1\") | .$2"; }
# shown FILE...: sums of views
shown() { (cd d && sha256sum "$@"); }

# an ext4 that is in use is not pulled away from under its mount; closed, it is as it was, and other snapshots as they are
truncate -s 64M disk.img
mkfs.ext4 -q -F disk.img
serve disk.img d
loop=$(losetup --find --show d/origin)
mount "$loop" live
cp -r /usr/share/common-licenses live/docs && sync
tree live > first.txt
create first
rm -r live/docs/GPL* && dd if=/dev/urandom of=live/noise bs=1M count=8 status=none && sync
create second
expect_failure 1 "the origin is in use (loop device $loop over origin, mounted on $PWD/live)" "$DMSNAP" merge d first
umount live
expect_failure 1 "the origin is in use (loop device $loop over origin)" "$DMSNAP" merge d first
losetup -d "$loop"
second=$(shown snapshots/second)
cat d/origin > /dev/null # into the page cache
"$DMSNAP" merge d first --dry-run > plan.txt || fail "a plan: $(cat plan.txt)"
grep -q "MiB of 'first' would be copied into the origin" plan.txt && grep -q "'second' keeps what it shows, and takes" plan.txt || fail "$(cat plan.txt)"
first=$(sha d/snapshots/first)
merge first --wait
[ "$(sha d/origin)" = "$first" ] || fail "the origin is not what the snapshot was"
[ "$(shown snapshots/second)" = "$second" ] || fail "another snapshot is not what it was"
[ "$(field first name)" = "" ] && [ ! -e disk.img.dmsnap/first.cow ] || fail "the merged snapshot is still there"
mount -o loop d/origin live
tree live > now.txt
cmp first.txt now.txt || fail "the filesystem is not what it was"
umount live
fsck.ext4 -fn d/origin > out.txt 2>&1 || fail "fsck: $(cat out.txt)"

# with --force also under a loop device, which shows nothing old afterwards
create third
loop=$(losetup --find --show d/origin)
dd if=/dev/urandom of="$loop" bs=1M count=4 seek=8 status=none
cat "$loop" > /dev/null
third=$(sha d/snapshots/third)
merge third --force --wait
[ "$(sha "$loop")" = "$third" ] || fail "the loop device shows what was"
losetup -d "$loop"
unserve d
[ "$(sha disk.img)" = "$third" ] || fail "the file alone is not the image"

# slowed down, paused and watched; reads and writes go on meanwhile, over a mount and back
load disk.img 1
rm -r disk.img.dmsnap
serve disk.img d
create old
old=$(sha d/origin)
load d/origin 2
create newer --size 40%
newer=$(shown snapshots/newer)
load d/origin 3
merge old --bwlimit 64K
grep -q "the origin shows what 'old' had" err.txt || fail "it says $(cat err.txt)"
[ "$(sha d/origin)" = "$old" ] || fail "it does not show the snapshot at once"
[ ! -e d/snapshots/old ] && [ "$(ls d/snapshots)" = newer ] || fail "the snapshot is still shown"
[ "$(field old state)" = merging ] || fail "it is $(field old state)"
merge old --pause
left() { "$DMSNAP" status d --json | jq .merge.left_bytes; }
before=$(left)
[ "$before" -gt 4000000 ] || fail "it is not slowed down: $before bytes are left"
expect_failure 1 "the merge of 'old' is paused; 'dmsnap merge --resume $PWD/d old' goes on with it" "$DMSNAP" wait d
"$DMSNAP" status d | grep -q "^merge .*'old' into the origin: .* left, paused$" || fail "status: $("$DMSNAP" status d)"
[[ "$("$DMSNAP" status d old --dm)" == "0 131072 snapshot-merge "*/*" "* ]] || fail "it says $("$DMSNAP" status d old --dm)"
expect_failure 1 "the origin is being rolled back to 'old'" "$DMSNAP" create d more
expect_failure 1 "the origin is being rolled back to 'old'" "$DMSNAP" create d more --of old
expect_failure 1 "the origin is being rolled back to 'old' already" "$DMSNAP" merge d newer
expect_failure 1 "the origin is being rolled back to 'old'" "$DMSNAP" remove d old
expect_failure 1 "the origin is being rolled back to 'old'" "$DMSNAP" diff d newer
expect_failure 1 "there is no snapshot 'old'" "$DMSNAP" diff d newer old
expect_failure 1 "the origin is not being rolled back to 'newer'" "$DMSNAP" merge d newer --pause
create clone --of newer
load d/origin 4
written=$(sha d/origin)
[ "$(left)" = "$before" ] || fail "it is not paused"
[ "$(shown snapshots/newer)" = "$newer" ] || fail "a write during the merge changed another snapshot"
"$DMSNAP" umount d 2> err.txt && rm d.pid
grep -q "the merge of 'old' is not at its end: the next mount goes on with it" err.txt || fail "umount says $(cat err.txt)"
expect_failure 1 "the origin is being rolled back to old, and has its content only in part" "$DMSNAP" remove disk.img old
serve disk.img d --read-only
[ "$(sha d/origin)" = "$written" ] || fail "a read-only mount shows something else"
expect_failure 1 "nothing goes on in a read-only mount" "$DMSNAP" wait d
unserve d
mv disk.img.dmsnap/old.cow .
expect_failure 1 "its COW file, $PWD/disk.img.dmsnap/old.cow, is missing" "$DMSNAP" mount disk.img d
mv old.cow disk.img.dmsnap
# one that says that it is invalid is neither shown nor lost
cp disk.img.dmsnap/old.cow whole.cow
printf '\0' | dd of=disk.img.dmsnap/old.cow bs=1 seek=4 conv=notrunc status=none
serve disk.img d 2> err.txt
[ "$(field old state)" = invalid ] || fail "it is $(field old state)"
unserve d
[ -s disk.img.dmsnap/old.cow ] || fail "what was left of the merge is lost"
cp whole.cow disk.img.dmsnap/old.cow
serve --force disk.img d 2> err.txt
grep -q "the merge of 'old' goes on" err.txt || fail "mount says $(cat err.txt)"
"$DMSNAP" wait d old
[ "$(sha d/origin)" = "$written" ] || fail "after the merge it is not what it was during it"
[ "$(shown snapshots/newer)" = "$newer" ] || fail "the merge changed another snapshot"
unserve d
[ "$(sha disk.img)" = "$written" ] || fail "the file alone is not the image"

# killed at any moment on the way: nothing is lost, and it goes on at the next mount
serve disk.img d
create old
load d/origin 5
create other --chunk-size 16K
views=$(shown snapshots/newer snapshots/clone snapshots/other)
old=$(sha d/snapshots/old)
"$DMSNAP" merge d old --bwlimit 10M 2> err.txt
for delay in 0 0.01 0.02 0.05 0.1 0.2; do
  sleep "$delay"
  kill -9 "$(cat d.pid)" && rm d.pid
  "$DMSNAP" umount d 2> err.txt
  serve disk.img d 2> err.txt
  [ "$(sha d/origin)" = "$old" ] || fail "the origin, killed after $delay s"
  [ "$(shown snapshots/newer snapshots/clone snapshots/other)" = "$views" ] || fail "another, killed after $delay s"
  "$DMSNAP" merge d old --bwlimit 10M 2> err.txt || grep -q "no snapshot 'old'" err.txt || fail "$(cat err.txt)"
done
"$DMSNAP" merge d old --resume 2> err.txt || true
"$DMSNAP" wait d
[ "$(sha d/origin)" = "$old" ] || fail "the origin, at the end"
unserve d

# deferred while the origin is in use, and taken back; the next mount begins it, whatever was made of it meanwhile
serve disk.img d
create old
load d/origin 6
old=$(sha d/snapshots/old)
loop=$(losetup --find --show d/origin)
expect_failure 1 "or let it be merged from the next mount on with --defer" "$DMSNAP" merge d old
merge old --defer
grep -q "the next mount rolls the origin back to 'old'; 'dmsnap merge --cancel $PWD/d old' takes that back" err.txt || fail "$(cat err.txt)"
[ "$(field old deferred)" = true ] && [ "$(field old state)" = active ] || fail "it is $(field old state)"
"$DMSNAP" status d | grep -q "^deferred  *the next mount rolls the origin back to 'old'$" || fail "status: $("$DMSNAP" status d)"
merge old --cancel
expect_failure 1 "'old' is not to be merged from the next mount on" "$DMSNAP" merge d old --cancel
expect_failure 2 "--defer begins nothing" "$DMSNAP" merge d old --defer --wait
merge old --defer
losetup -d "$loop"
create of_it --of old
of_it=$(shown snapshots/of_it)
unserve d
serve disk.img d 2> err.txt
grep -q "the origin is rolled back to 'old', as 'merge --defer' asked" err.txt || fail "mount says $(cat err.txt)"
[ "$(sha d/origin)" = "$old" ] || fail "the mount did not begin what was deferred"
"$DMSNAP" wait d
[ "$(shown snapshots/of_it)" = "$of_it" ] && [ "$(field of_it base)" = null ] || fail "a clone of it is not what it was"
[ "$(field old name)" = "" ] || fail "it is still there"
unserve d

# a chain: what is between the snapshot and the origin, and what falls through to it, stays what it was
rm -r disk.img.dmsnap
serve disk.img d --layout chained
for name in a b c d; do
  create $name --chunk-size 16K
  load d/origin "$(printf %d "'$name")"
done
create clone --of b
load d/snapshots/clone 7
load d/snapshots/c 8
views=$(shown snapshots/a snapshots/c snapshots/d snapshots/clone)
b=$(sha d/snapshots/b)
expect_failure 1 "a, clone fall through to 'b'; remove them first, or let them have what they need of it before with --keep" "$DMSNAP" merge d b
"$DMSNAP" merge d b --keep --dry-run > plan.txt || fail "$(cat plan.txt)"
grep -q "first 'b' gets what it shows of c, d" plan.txt && grep -q "first a, clone get what they show of 'b'" plan.txt || fail "$(cat plan.txt)"
merge b --keep --wait
[ "$(sha d/origin)" = "$b" ] || fail "the origin is not what a link of the chain was"
[ "$(shown snapshots/a snapshots/c snapshots/d snapshots/clone)" = "$views" ] || fail "another link is not what it was"
[ "$(field a base)" = c ] && [ "$(field clone base)" = c ] || fail "they fall through to $(field a base), $(field clone base)"
unserve d
serve disk.img d
[ "$(shown snapshots/a snapshots/c snapshots/d snapshots/clone)" = "$views" ] || fail "another link is not what it was, after a mount"

# others that would be lost are told before, with what falls through to them, and only --force loses them
create small --size 1M
views=$(shown snapshots/a snapshots/c snapshots/d snapshots/clone snapshots/small)
! "$DMSNAP" merge d a -n > plan.txt || fail "a plan that loses snapshots: $(cat plan.txt)"
for name in small d c; do grep -q "'$name' becomes invalid" plan.txt || fail "$name: $(cat plan.txt)"; done
expect_failure 1 "would become invalid, for want of room" "$DMSNAP" merge d a
[ "$(shown snapshots/a snapshots/c snapshots/d snapshots/clone snapshots/small)" = "$views" ] || fail "a refused merge changed something"
"$DMSNAP" remove d small --wait
views=$(shown snapshots/a snapshots/c snapshots/d snapshots/clone)

# refusals, each without a change
create fleeting --type N
expect_failure 1 "'fleeting' is transient (type N) and cannot be merged" "$DMSNAP" merge d fleeting
"$DMSNAP" remove d fleeting
expect_failure 1 "there is no snapshot 'nothing'; see dmsnap list" "$DMSNAP" merge d nothing
expect_failure 2 "--pause stands alone" "$DMSNAP" merge d a --pause --resume
expect_failure 2 "--bwlimit 0 would never come to an end" "$DMSNAP" merge d a --bwlimit 0
(exec sleep 1000 < d/snapshots/d) & echo $! > reader.pid
until [ "$(cat "/proc/$(cat reader.pid)/comm")" = sleep ]; do sleep 0.05; done
expect_failure 1 "in use (process $(cat reader.pid) (sleep)" "$DMSNAP" merge d d --keep
kill "$(cat reader.pid)" && wait "$(cat reader.pid)" || rm reader.pid
create tight --of clone --size 1M
expect_failure 1 "and has no room for it" "$DMSNAP" merge d tight
[ "$(shown snapshots/a snapshots/c snapshots/d snapshots/clone)" = "$views" ] || fail "a refused merge changed another link"
unserve d
serve disk.img d --read-only
expect_failure 1 "the mount is read-only" "$DMSNAP" merge d tight
unserve d
