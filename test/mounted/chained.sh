#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Snapshots of snapshots: clones and the chained layout, from the command. An existing set becomes chained; an origin write is
# copied once; whichever link is removed, also with the daemon killed in the middle, every other view shows what it showed; one
# that others need cannot be removed without them being given what they need.
. "$(dirname "$0")/functions.sh"
load() { # FILE SEED
  fio --name=load --filename="$1" --rw=randwrite --bs=4k --io_size=6m --ioengine=psync --randseed="$2" --allow_file_create=0 \
    --fsync=64 > fio.txt 2>&1 || { cat fio.txt; fail "load $1"; }
}
field() { "$DMSNAP" list d --json | jq -r ".[] | select(.name == \"$1\") | .$2"; }
sums() { # FILE: of every view but those that are named
  (cd d && sha256sum origin snapshots/*) > "$1"
}
same() { # FILE TEXT: every view that is still there shows what it showed
  local name
  sums now.txt
  while read -r name; do grep -qxF -- "$name" "$1" || fail "$2: $name, before: $(cat "$1")"; done < now.txt
}
create() { "$DMSNAP" create d "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }

truncate -s 64M disk.img
load disk.img 1
serve disk.img d
create first
load d/origin 2
create second --chunk-size 64K
[ "$(field first base)" = null ] && [ "$(field second base)" = null ] || fail "independent at first"

for i in 1 2 3 4 5 6 7; do create extra$i; done
grep -q "copied into 9 snapshots now; 'dmsnap create --layout chained' copies it once" err.txt || fail "no hint: $(cat err.txt)"
for i in 1 2 3 4 5 6 7; do "$DMSNAP" remove d extra$i; done

# from now on chained, for those that are there, too
create third --layout chained
for name in first second; do [ "$(field $name base)" = third ] || fail "$name falls through to $(field $name base)"; done
copied=$(field first data_bytes)
load d/origin 3
[ "$(field first data_bytes)" = "$copied" ] || fail "an origin write was copied into an older one"
[ "$(field third data_bytes)" -gt 1000000 ] || fail "it was not copied into the newest"
create fourth
[ "$(field third base)" = fourth ] || fail "the layout is the set's from then on"
load d/origin 4
create clone --of third
[ "$(field clone base)" = third ] || fail "the clone falls through to $(field clone base)"
load d/snapshots/clone 5
load d/snapshots/third 6
sums before.txt

# a mount later it is the same
unserve d
serve disk.img d
same before.txt "after a mount"
[ "$("$DMSNAP" status d --json | jq -r .layout)" = chained ] || fail "the set has forgotten its layout"

# refusals: what cannot be, with the names
expect_failure 1 "there is no snapshot 'nothing' to take one of" "$DMSNAP" create d x --of nothing
expect_failure 1 "a layout is for snapshots of the origin" "$DMSNAP" create d x --of first --layout chained
expect_failure 2 "--store is for an ORIGIN that is not mounted" "$DMSNAP" remove d first --store x
expect_failure 2 "--layout 'tree': use independent or chained" "$DMSNAP" create d x --layout tree
create fleeting --type N
[ "$(field fleeting base)" = null ] && [ "$(field fourth base)" = null ] || fail "a transient one is below others"
expect_failure 1 "transient (type N)" "$DMSNAP" create d x --of fleeting
"$DMSNAP" remove d fleeting
unserve d
expect_failure 1 "first, second, clone show what third has, and would lose it" "$DMSNAP" remove disk.img third
serve disk.img d
(exec sleep 1000 < d/snapshots/third) & echo $! > reader.pid
until [ "$(cat "/proc/$(cat reader.pid)/comm")" = sleep ]; do sleep 0.05; done
expect_failure 1 "in use (process $(cat reader.pid) (sleep)" "$DMSNAP" remove d third
kill "$(cat reader.pid)" && wait "$(cat reader.pid)" || rm reader.pid
create tight --of third --size 1M
sums before.txt
expect_failure 1 "show what snapshot 'third' has, and there is no room to give it to them" "$DMSNAP" remove d third
same before.txt "after a refused removal"
[ "$(field third state)" = active ] || fail "it is $(field third state)"
"$DMSNAP" remove d tight

# removed with the daemon killed at any moment on the way: it goes on at the next mount
sums before.txt
for delay in 0 0.005 0.01 0.02 0.04; do
  "$DMSNAP" remove d third 2> err.txt || grep -q "no snapshot" err.txt || fail "remove: $(cat err.txt)"
  sleep "$delay"
  kill -9 "$(cat d.pid)" && rm d.pid
  "$DMSNAP" umount d 2> err.txt
  serve disk.img d 2> err.txt
  same before.txt "killed after $delay s"
done
"$DMSNAP" wait d third
[ "$(field third name)" = "" ] || fail "it is still there"
for name in first second clone; do [ "$(field $name base)" = fourth ] || fail "$name falls through to $(field $name base)"; done
same before.txt "after the removal"

# by rm, and with writes going on
rm d/snapshots/fourth
load d/origin 8
"$DMSNAP" wait d
[ "$(field clone base)" = null ] || fail "the clone falls through to $(field clone base)"
grep -v -e origin before.txt > views.txt
sums now.txt
for name in first second clone; do [ "$(grep "$name" now.txt)" = "$(grep "$name" views.txt)" ] || fail "$name is not what it was"; done
for name in first second clone; do "$DMSNAP" remove d "$name"; done
[ "$("$DMSNAP" list d --json)" = "[]" ] || fail "not all are gone"
unserve d
for file in disk.img.dmsnap/*.cow; do [ ! -e "$file" ] || fail "$file is left"; done

# a clone of one that is attached in place, which is moved then
truncate -s 4M other.img
serve other.img d
create mine
unserve d
mv other.img.dmsnap/mine.cow mine.cow
"$DMSNAP" remove other.img mine
serve other.img d --attach mine=mine.cow
create clone --of mine
unserve d
mkdir elsewhere && mv mine.cow elsewhere
serve other.img d --attach mine=elsewhere/mine.cow
[ "$(field clone base)" = mine ] || fail "the clone is left out: $("$DMSNAP" list d)"
dd if=/dev/urandom of=d/snapshots/mine bs=64K count=1 conv=notrunc,fsync status=none
unserve d
serve other.img d
cmp d/origin d/snapshots/clone || fail "the clone shows what was written to the other"
unserve d

# a removal that the next mount cannot go on with, since there is no room any more: it waits, and the mount stands
truncate -s 16M tight.img
serve tight.img d
create base
create clone --of base --size 512K
dd if=/dev/urandom of=d/origin bs=64K count=7 conv=notrunc,fsync status=none
dd if=/dev/urandom of=d/snapshots/clone bs=4K count=100 seek=1000 conv=notrunc,fsync status=none
unserve d
jq '.snapshots[0].leaving = true' tight.img.dmsnap/set.json > set.json && cp set.json tight.img.dmsnap/set.json
for i in 1 2 3; do
  serve tight.img d 2> err.txt
  until grep -q "'base' cannot go yet: clone show what snapshot 'base' has, and there is no room" log; do sleep 0.05; done
  [ "$(field base state)" = removing ] || fail "it is $(field base state)"
  expect_failure 1 "there is no room to give it to them" "$DMSNAP" wait d base
  unserve d
done
serve tight.img d 2> err.txt
"$DMSNAP" remove d clone
"$DMSNAP" wait d base
[ "$("$DMSNAP" list d --json)" = "[]" ] || fail "it did not go with its dependant"
unserve d
