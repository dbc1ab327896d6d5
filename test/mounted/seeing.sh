#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What can be seen of a mount: the table with base and disk use, the three files of .dmsnap, metrics that a Prometheus parser
# takes and that count what was done, and events, in order, with a word of those that were missed, until the mount is gone.
. "$(dirname "$0")/functions.sh"
truncate -s 64M disk.img
serve disk.img d
# await TEXT FILE: it is there soon
await() {
  for _ in $(seq 100); do
    ! grep -qE -- "$1" "$2" || return 0
    sleep 0.1
  done
  fail "no '$1' in $2: $(cat "$2")"
}

"$DMSNAP" monitor d > text.txt 2> text.err &
watcher=$!
"$DMSNAP" monitor d --json > events.txt 2> events.err &
machine=$!
# both have begun: what they print comes after they have asked once
python3 - << 'PYTHON'
import json, os, time
def ask(**request):
    fd = os.open("d/.dmsnap/control", os.O_RDWR)
    os.write(fd, json.dumps(request).encode() + b"\n")
    reply = json.loads(b"".join(iter(lambda: os.read(fd, 65536), b"")))
    os.close(fd)
    return reply
assert ask(verb="events") == {"ok": True, "events": [], "missed": 0, "newest": 0}
assert not ask(verb="events", after=-1)["ok"]
time.sleep(2)
PYTHON

# the table
"$DMSNAP" create d monday > out.txt 2> err.txt
"$DMSNAP" create d try --of monday > out.txt 2> err.txt
dd if=/dev/urandom of=d/snapshots/monday bs=64K count=16 conv=notrunc,fsync status=none
"$DMSNAP" list d > list.txt
head -1 list.txt | grep -qE '^NAME +TYPE +CHUNK +COPIED +DISK +FULL +STATE +BASE +CREATED$' || fail "$(cat list.txt)"
grep -qE '^monday +PO +4.0 KiB +1.0 MiB +[0-9.]+ [KM]iB +[0-9.]+% +active +origin +20' list.txt || fail "$(cat list.txt)"
grep -qE '^try .* active +monday +20' list.txt || fail "$(cat list.txt)"
disk=$("$DMSNAP" list d --json | jq '.[] | select(.name == "monday") | .disk_bytes')
[ "$disk" -eq $(($(stat -c %b disk.img.dmsnap/monday.cow) * 512)) ] || fail "disk use $disk"

# the files say what the verbs say
diff <("$DMSNAP" status d) d/.dmsnap/status || fail "status"
diff <("$DMSNAP" status d --json) d/.dmsnap/status.json || fail "status.json"
[ "$(ls -A d/.dmsnap | xargs)" = "control delta metrics status status.json" ] || fail "$(ls -A d/.dmsnap)"

# metrics
cat > metrics.py << 'PYTHON'
from prometheus_client.parser import text_string_to_metric_families
def metrics():
    """{(name, labels): value}; every line is of a family with help and type."""
    text = open("d/.dmsnap/metrics").read()
    families = list(text_string_to_metric_families(text))
    assert all(f.documentation and f.type in ("counter", "gauge", "histogram") and f.name.startswith("dmsnap_") for f in families)
    assert len({f.name for f in families}) == len(families)
    found = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}
    assert len(found) == sum(not line.startswith("#") for line in text.splitlines()), "a sample twice, or one that is none"
    return found
def of(found, name, **labels):
    return found[name, tuple(sorted(labels.items()))]
PYTHON
PYTHONPATH=. python3 - << 'PYTHON' || fail "metrics"
import os, random
from metrics import *
before = metrics()
origin = os.open("d/origin", os.O_RDWR)
snapshot = os.open("d/snapshots/monday", os.O_RDONLY)
for number in range(300):
    os.pwrite(origin, b"x" * 4096, (4096 + number) * 4096)
os.fsync(origin)
for number in range(200):
    os.posix_fadvise(snapshot, 0, 0, os.POSIX_FADV_DONTNEED)
    assert len(os.pread(snapshot, 4096, (8192 + number * 40) * 4096 % (1 << 26))) == 4096
after = metrics()
def more(name, **labels):
    return of(after, name, **labels) - of(before, name, **labels)
assert more("dmsnap_operations_total", target="origin", operation="write") == 300
assert more("dmsnap_operation_bytes_total", target="origin", operation="write") == 300 * 4096
assert more("dmsnap_operations_total", target="origin", operation="flush") >= 1
assert more("dmsnap_operation_duration_seconds_count", target="origin", operation="flush") >= 1
timed = more("dmsnap_operation_duration_seconds_count", target="origin", operation="write")
assert abs(timed - 300) <= 64, timed
assert more("dmsnap_operations_total", target="snapshot", operation="read") > 0
assert more("dmsnap_operation_errors_total", target="origin", operation="write") == 0
assert more("dmsnap_copied_chunks_total") == 300 and more("dmsnap_copied_bytes_total") == 300 * 4096
assert more("dmsnap_wave_duration_seconds_count") >= 1 and more("dmsnap_commit_duration_seconds_count") >= 1
assert of(after, "dmsnap_operation_duration_seconds_bucket", target="origin", operation="write", le="+Inf") == \
    of(after, "dmsnap_operation_duration_seconds_count", target="origin", operation="write")
bounds = [(float(dict(labels)["le"]), value) for (name, labels), value in after.items()
          if name == "dmsnap_operation_duration_seconds_bucket" and dict(labels)["operation"] == "write" and dict(labels)["target"] == "origin"]
assert [v for _, v in sorted(bounds)] == sorted(v for _, v in bounds), "buckets add up what is below"
assert of(after, "dmsnap_snapshot_state", snapshot="try", state="active") == 1
assert of(after, "dmsnap_origin_size_bytes") == 1 << 26
assert of(after, "dmsnap_snapshot_metadata_bytes", snapshot="monday") >= 8192
PYTHON

# events
"$DMSNAP" create d small --size 400K > out.txt 2> err.txt
dd if=/dev/urandom of=d/snapshots/small bs=4K count=90 conv=notrunc,fsync status=none
await '"event":"threshold".*"percent":9[05].*"snapshot":"small"' events.txt
! dd if=/dev/urandom of=d/snapshots/small bs=64K seek=20 count=40 conv=notrunc status=none 2> err.txt || fail "it has room"
await '"event":"overflow".*"snapshot":"small"' events.txt
dd if=/dev/urandom of=d/origin bs=64K count=256 conv=notrunc,fsync status=none
await '"event":"invalidated".*"snapshot":"small"' events.txt
await '"event":"error".*"message":"snapshot .small. is invalid' events.txt
"$DMSNAP" remove d small
"$DMSNAP" remove --wait d try
"$DMSNAP" merge d monday --bwlimit 16M --wait > out.txt 2> err.txt || fail "merge: $(cat err.txt)"
await '"event":"merge-done".*"snapshot":"monday"' events.txt
await '"event":"removed".*"snapshot":"monday"' events.txt
await '^[-0-9T:.Z]+ removed monday$' text.txt
await '^[-0-9T:.Z]+ created monday$' text.txt
await '^[-0-9T:.Z]+ threshold small: 9[05] % full$' text.txt
await '^[-0-9T:.Z]+ invalidated small: .' text.txt
grep -q '"event":"merge-progress"' events.txt || fail "no word of how far the merge was: $(cat events.txt)"
if [ "$("$DMSNAP" status d --json | jq .freeze.helper_pid)" != null ]; then
  mkfs.ext4 -q -F d/origin
  mount -o loop d/origin live
  "$DMSNAP" create d frozen > out.txt 2> err.txt
  umount live
  await "\"event\":\"freeze\",\"mounts\":\\[\"$PWD/live\"\\]" events.txt
  await '"event":"thaw","lasted_ms":[0-9.]+' events.txt
  "$DMSNAP" remove d frozen
fi
jq -e . events.txt > /dev/null || fail "not an object a line"
[ "$(jq .sequence events.txt | sort -n | uniq | wc -l)" -eq "$(wc -l < events.txt)" ] && jq .sequence events.txt | sort -nc || fail "out of order"

# one that sleeps holds nobody up, and is told what it missed
kill -STOP $machine
python3 - << 'PYTHON'
import json, os
fd = os.open("d/.dmsnap/control", os.O_RDWR)
for number in range(2100):
    os.write(fd, b'{"verb": "create", "names": ["s"], "type": "N", "freeze": "no"}\n{"verb": "remove", "name": "s"}\n')
    replies = b"".join(iter(lambda: os.read(fd, 65536), b"")).splitlines()
    assert all(json.loads(each)["ok"] for each in replies), replies
PYTHON
kill -CONT $machine
await '"event":"missed"' events.txt
[ "$(jq 'select(.event == "missed") | .count' events.txt)" -gt 50 ] || fail "$(grep missed events.txt)"

# the end
unserve d
wait $watcher || fail "monitor: $(cat text.err)"
wait $machine || fail "monitor --json: $(cat events.err)"
[ ! -s text.err ] && [ ! -s events.err ] || fail "$(cat text.err events.err)"
expect_failure 1 "no dmsnap mount" "$DMSNAP" monitor d
