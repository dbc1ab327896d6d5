#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Where the views of a mount differ, asked of the daemon: in both layouts, of clones, with writes that are still held, in all
# forms of output; what differs lies in what is told, and --compare tells it to the sector.
. "$(dirname "$0")/functions.sh"
create() { "$DMSNAP" create d "$@" > out.txt 2> err.txt || fail "create $*: $(cat err.txt)"; }
put() { # FILE BLOCK COUNT: random blocks of 4 KiB, acknowledged and not flushed
  dd if=/dev/urandom of="$1" bs=4k seek="$2" count="$3" conv=notrunc status=none
}
# told LINES ARGUMENT...: `dmsnap diff d ARGUMENT...` prints these "offset length" pairs, in blocks of 4 KiB
told() {
  local wanted=$1 all
  shift
  all=$("$DMSNAP" diff d "$@" | awk '{ printf "%s%g+%g", sep, $1 / 4096, $2 / 4096; sep = " " }')
  [ "$all" = "$wanted" ] || fail "diff $*: $all, not $wanted"
}

truncate -s 64M disk.img
put disk.img 0 16384
serve disk.img d
create monday
put d/origin 10 4
told 10+4 monday            # held writes count
told 10+4 monday origin
told 10+4 origin monday
create tuesday
put d/origin 100 1
put d/snapshots/tuesday 200 2
told "10+4 100+1" monday
told "10+4 100+1 200+2" monday tuesday # 100 has a copy in both
told "10+4 200+2" monday tuesday --compare
told "100+1 200+2" tuesday

# clones, and a chain
create clone --of tuesday
put d/snapshots/clone 300 1
put d/snapshots/tuesday 400 1
told "300+1 400+1" clone
told "300+1 400+1" tuesday clone
create wednesday --layout chained
put d/origin 500 1
told "500+1" wednesday
told "100+1 200+2 400+1" tuesday wednesday
told "" monday monday

# bytes that are equal again, and some that differ in part
dd if=d/snapshots/wednesday of=d/origin bs=4k skip=500 seek=500 count=1 conv=notrunc status=none
told "500+1" wednesday
told "" wednesday --compare
printf differs | dd of=d/origin bs=1 seek=$((600 * 4096 + 1000)) conv=notrunc status=none
[ "$("$DMSNAP" diff d wednesday --compare)" = "$((600 * 4096 + 512)) 512" ] || fail "not told to the sector"

# forms
[ "$("$DMSNAP" diff d tuesday wednesday --json | jq -c '[.[] | [.offset, .length]]')" = "[[409600,4096],[819200,8192],[1638400,4096]]" ] || fail "--json"
[ "$("$DMSNAP" diff d monday monday --json | jq -c .)" = "[]" ] || fail "--json of nothing"
[ "$("$DMSNAP" diff d tuesday wednesday --summary)" = "tuesday and wednesday: 3 extents differ, 16 KiB of 64 MiB (0.0%)" ] || fail "--summary: $("$DMSNAP" diff d tuesday wednesday --summary)"
[ "$("$DMSNAP" diff d wednesday --summary --json | jq -c .)" = '{"bytes":8192,"extents":2,"size_bytes":67108864}' ] || fail "--summary --json"
"$DMSNAP" diff d monday --map > map.txt
grep -q "^monday and wednesday: image of 64 MiB, .* different (" map.txt || fail "--map: $(cat map.txt)"
grep -q "^different: \[ \] none" map.txt || fail "--map: $(cat map.txt)"

# thousands of extents come in pages, and their bytes are what they claim
create many
python3 - << 'PYTHON'
import os
fd = os.open("d/origin", os.O_RDWR)
for block in range(0, 16384, 2):
    os.pwrite(fd, os.urandom(512), block * 4096 + 512)
os.close(fd)
PYTHON
"$DMSNAP" diff d many > all.txt
[ "$(wc -l < all.txt)" -eq 8192 ] || fail "$(wc -l < all.txt) extents"
awk '$1 != (NR - 1) * 8192 || $2 != 4096 { exit 1 }' all.txt || fail "not what was written"
"$DMSNAP" diff d many --compare > all.txt
awk '$1 != (NR - 1) * 8192 + 512 || $2 != 512 { exit 1 }' all.txt && [ "$(wc -l < all.txt)" -eq 8192 ] || fail "not what was written"

# a request by itself counts writes that are held, too; one page is asked for with the next of the one before
create held
python3 - << 'PYTHON'
import json, os
def ask(**members):
    control = os.open("d/.dmsnap/control", os.O_RDWR)
    os.write(control, json.dumps({"verb": "diff", **members}).encode() + b"\n")
    reply = json.loads(b"".join(iter(lambda: os.read(control, 65536), b"")))
    os.close(control)
    return reply
fd = os.open("d/origin", os.O_RDWR)
os.pwrite(fd, b"x" * 4096, 20 * 4096)
reply = ask(a="held")
assert reply == {"ok": True, "a": "held", "b": "origin", "size_bytes": 64 << 20, "chunk_bytes": 4096, "extents": [[20 * 4096, 4096]]}, reply
first = ask(a="many", b="origin")
second = ask(a="many", b="origin", **{"from": first["next"]})
assert len(first["extents"]) == 4096 and first["extents"][-1][0] < first["next"] <= second["extents"][0][0] and "next" not in second, second["extents"][:1]
assert ask(a="many", **{"from": (1 << 64) - 1})["extents"] == []
for bad in {}, {"a": 7}, {"a": "held", "from": -1}, {"a": "held", "from": "0"}, {"a": "held", "b": None}, {"a": "held", "c": "origin"}:
    assert ask(**bad)["ok"] is False, bad
PYTHON
"$DMSNAP" remove d held 2> err.txt

# refusals
expect_failure 1 "there is no snapshot 'nobody'" "$DMSNAP" diff d nobody
expect_failure 1 "there is no snapshot 'nobody'" "$DMSNAP" diff d monday nobody
expect_failure 1 "the origin falls through to nothing: name what it is compared with" "$DMSNAP" diff d origin
expect_failure 2 "--exceptions and --compare exclude each other" "$DMSNAP" diff d monday --exceptions --compare
expect_failure 2 "--map cannot be combined with --json or --summary" "$DMSNAP" diff d monday --map --json
expect_failure 1 "no dmsnap mount" "$DMSNAP" diff live monday
expect_failure 2 "one operand too many for a COWFILE" "$DMSNAP" diff disk.img monday tuesday
create tiny --of tuesday --type P --size 16K
put d/snapshots/tiny 0 8 2> /dev/null || true
expect_failure 1 "snapshot 'tiny' is invalid" "$DMSNAP" diff d tiny
expect_failure 1 "snapshot 'tiny' is invalid" "$DMSNAP" diff d monday tiny
unserve d
