#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Several names in one create are one moment: under a writer all show the same, each time, also as clones, in a chain, after
# the daemon was killed, and when the origin goes on being written; one name that cannot be takes all the others with it.
. "$(dirname "$0")/functions.sh"
head -c 8M /dev/urandom > disk.img
names() { "$DMSNAP" list d --json | jq -r '[.[].name] | sort | join(" ")'; }
# same A B...: files of d/snapshots
same() {
  local first=$1 each
  shift
  for each; do cmp "d/snapshots/$first" "d/snapshots/$each" || fail "$first and $each differ"; done
}
cat > writer.py << 'PYTHON'
import os, random, sys
image = os.open("d/origin", os.O_RDWR)
number = 0
while os.path.exists("write"):
    number += 1
    os.pwrite(image, number.to_bytes(8, "little") * 512, random.randrange(2048) * 4096)
PYTHON
write() { touch write; python3 writer.py & writer=$!; }
no_write() { rm write; wait $writer; }

for layout in independent chained; do
  serve disk.img d --layout "$layout"
  write
  for round in 1 2 3 4 5; do
    "$DMSNAP" create d a$round b$round c$round > out.txt 2> err.txt || fail "create: $(cat err.txt)"
    [ "$(cat out.txt)" = "$(printf "$PWD/d/snapshots/%s\n" a$round b$round c$round)" ] || fail "prints $(cat out.txt)"
  done
  for round in 1 2 3 4 5; do same a$round b$round c$round; done
  ! cmp -s d/snapshots/a1 d/snapshots/a5 || fail "nothing was written meanwhile"
  "$DMSNAP" create d --of a1 x y z > out.txt 2> err.txt || fail "clones: $(cat err.txt)"
  same a1 x y z
  [ "$(jq -r .copies_of_a_write <<< "$(exec 5<> d/.dmsnap/control; echo '{"verb":"create","names":["t1","t2"]}' >&5; cat <&5)")" = "$([ $layout = chained ] && echo 1 || echo 17)" ] ||
    fail "$layout: copies of a write"
  before=$(names)
  expect_failure 1 "there is a snapshot b3 already" "$DMSNAP" create d new b3 newer
  expect_failure 1 "'new' is named twice" "$DMSNAP" create d new new
  expect_failure 1 'cannot be the name' "$DMSNAP" create d new .x
  [ "$(names)" = "$before" ] || fail "refused, but there are $(names)"
  [ -z "$(find disk.img.dmsnap -name '*new*')" ] || fail "left behind: $(ls disk.img.dmsnap)"
  no_write
  (cd d && sha256sum snapshots/*) > sums.txt
  kill -9 "$(cat d.pid)"
  "$DMSNAP" umount d 2> err.txt || fail "umount after a kill: $(cat err.txt)"
  serve disk.img d 2> err.txt
  (cd d && sha256sum --quiet -c ../sums.txt) || fail "$layout: not the same after the daemon was killed"
  for name in $(names); do "$DMSNAP" remove --wait d "$name" || fail "remove $name"; done
  unserve d
done

# killed at any moment: all or none
serve disk.img d --layout independent
for delay in 0.000 0.002 0.004 0.006 0.008 0.010 0.015 0.020 0.030 0.050; do
  "$DMSNAP" create d one two three > out.txt 2> err.txt &
  creator=$!
  sleep $delay
  kill -9 "$(cat d.pid)"
  wait $creator || true
  "$DMSNAP" umount d 2> err.txt || fail "umount after a kill: $(cat err.txt)"
  serve disk.img d 2> err.txt
  case $(names) in
    '') ;;
    'one three two')
      same one two three
      for name in one two three; do "$DMSNAP" remove d $name; done
      ;;
    *) fail "killed after $delay s: there are $(names)" ;;
  esac
done
unserve d
