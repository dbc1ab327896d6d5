#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that talk badly to .dmsnap/control: each gets one line of JSON with an error or the documented errno, and changes
# nothing; eight at once do not disturb each other; one that dies, or never reads, holds nobody up. The mount works afterwards.
. "$(dirname "$0")/functions.sh"
head -c 4M /dev/urandom > disk.img
cp disk.img frozen.img
serve disk.img d
"$DMSNAP" create d kept > out.txt 2> err.txt

cat > control.py << 'PYTHON'
import errno, json, os
def opened(flags=os.O_RDWR):
    return os.open("d/.dmsnap/control", flags)
def replies(fd, piece=65536):
    """What is left to read, line by line."""
    text = b"".join(iter(lambda: os.read(fd, piece), b""))
    assert text == b"" or text.endswith(b"\n"), text
    return [json.loads(line) for line in text.splitlines()]
def ask(request, piece=65536):
    fd = opened()
    try:
        assert os.write(fd, request) == len(request)
        return replies(fd, piece)
    finally:
        os.close(fd)
def verb(what, /, **members):
    return json.dumps({"verb": what, **members}).encode() + b"\n"
def names():
    return sorted(each["name"] for each in ask(verb("list"))[0]["snapshots"])
def refused(reply):
    return reply.keys() == {"ok", "error"} and reply["ok"] is False and reply["error"] and "\n" not in reply["error"]
PYTHON

# one bad line, one error; nothing is made
python3 - << 'PYTHON'
from control import *
bad = [b"\n", b"x\n", b"{\n", b"[]\n", b"{}\n", b"null\n", b'"list"\n', b"\0\n", b"\xff\xfe\n", b'{"verb": "list"} {}\n', b'{"verb": "li\xfft"}\n',
       b'{"verb": "list", "x": NaN}\n', b"[" * 60000 + b"\n", b'{"verb":' + b"[" * 60000 + b"\n", b" " * 65536 + b"\n"]
bad += [verb(name) for name in (None, 7, [], {}, "", "List", "umount", "list\n", "v" * 60000)]
bad += [verb("list", name="kept"), verb("flush", x=1), verb("remove"), verb("remove", name="nobody"), verb("remove", name=["kept"]),
        verb("remove", name="../set.json"), verb("remove", name="kept", force=True), verb("status", name=None), verb("status", name="nobody")]
bad += [verb("create"), verb("create", name="new", nmae="x")]
bad += [verb("create", name=name) for name in (None, 7, True, [], {}, "", "kept", ".x", "-x", "a/b", "../x", "a b", "a\0b", "a\nb", "\u00e9", "n" * 65, "x.map", "n" * 60000)]
wrong = {"type": (None, 1, "p", "Q", "", ["P"]), "read_only": (None, 0, "true", []),
         "chunk_sectors": (None, "8", True, 8.0, 8.5, -8, 0, 3, 2097153, 4194304, 1 << 32, (1 << 32) + 8, 1e30, 1 << 70, [8]),
         "cow_bytes": (None, "1M", False, 8192.5, -1, 0, 1, 511, 4096, (1 << 63) - 1, (1 << 64) - 1, 1 << 64, {})}
bad += [verb("create", name="new", **{member: value}) for member in wrong for value in wrong[member]]
for request in bad:
    answer = ask(request)
    assert len(answer) == 1 and refused(answer[0]), (request[:100], answer)
    assert names() == ["kept"], request[:100]
assert sorted(each for each in os.listdir("disk.img.dmsnap") if each != ".reserve") == ["kept.cow", "lock", "set.json"], os.listdir("disk.img.dmsnap")
PYTHON

# how requests and replies are cut into writes and reads does not matter
python3 - << 'PYTHON'
from control import *
ok = [{"ok": True}]
fd = opened()
for byte in verb("flush"):
    assert os.write(fd, bytes([byte])) == 1
assert replies(fd, 1) == ok and replies(fd) == []
assert os.write(fd, verb("flush") + b"junk\n" + verb("list") + verb("flush")[:5]) > 0
first, second, third = replies(fd, 7)
assert first == ok[0] and refused(second) and third["snapshots"][0]["name"] == "kept"
os.write(fd, verb("flush")[5:] + verb("flush"))
assert replies(fd) == ok * 2
os.write(fd, verb("list"))
os.write(fd, verb("flush"))  # replaces a reply that nobody read
assert replies(fd) == ok
os.write(fd, verb("flush"))
assert ask(verb("list"))[0]["snapshots"] and replies(fd) == ok, "descriptors disturb each other"
for large in b"x" * (1 << 20), b"x" * 65537, verb("flush") + b"x" * 65537 + b"\n" + verb("create", name="new"):
    try:
        os.write(fd, large)
        raise AssertionError("too long, but taken")
    except OSError as error:
        assert error.errno == errno.EMSGSIZE, error
    os.write(fd, verb("flush"))
    assert replies(fd) == ok, "a descriptor is spoilt by a request that was too long"
exact = verb("flush")[:-1]
assert ask(exact + b" " * (65536 - len(exact)) + b"\n") == ok, "65536 bytes are allowed"
assert ask(verb("flush") * 2000) == ok * 2000
assert ask(verb("flush")[:-1]) == [] and ask(b"") == []
for flags in os.O_RDWR | os.O_APPEND, os.O_RDWR | os.O_NONBLOCK, os.O_RDWR | os.O_TRUNC:
    other = opened(flags)
    os.write(other, verb("flush"))
    assert replies(other) == ok
blind, deaf = opened(os.O_WRONLY), opened(os.O_RDONLY)
os.write(blind, verb("create", name="blind"))
assert replies(deaf) == []
os.close(blind)  # waits, since who cannot read has no other way to
assert names() == ["blind", "kept"]
assert ask(verb("remove", name="blind")) == [{"ok": True, "leaving": False}]
PYTHON

# eight at once, the same name taken by one of them; half a request, then death; and clients that never read
cat > client.py << 'PYTHON'
import sys, time
from control import *
number, until = sys.argv[1], time.monotonic() + 2
def expect(good, reply):
    assert reply[0]["ok"] is good, reply
rounds = wins = 0
while time.monotonic() < until:
    name, size = f"client{number}-{rounds}", 4096 << rounds % 3
    expect(True, ask(verb("create", name=name, chunk_sectors=size // 512, type="PO" if rounds % 2 else "N")))
    assert name in names()
    expect(False, ask(verb("create", name=name)))
    wins += ask(verb("create", name=f"contested{rounds}"))[0]["ok"]
    mute = opened()
    os.write(mute, verb("status"))
    with open(f"d/snapshots/{name}", "rb") as snapshot:
        assert snapshot.read() == open("frozen.img", "rb").read(), "not the content of the origin"
    expect(True, ask(verb("flush")))
    assert ask(verb("status", name=name))[0]["status"]["chunk_bytes"] == size
    expect(True, ask(verb("remove", name=name)))
    expect(False, ask(verb("remove", name=name)))
    assert name not in names()
    rounds += 1
    os.close(mute)
print(rounds, wins)
fd = opened()
os.write(fd, b'{"verb": "create", "name": "half')
os.kill(os.getpid(), 9)
PYTHON
for number in 1 2 3 4 5 6 7 8; do python3 -u client.py $number > client$number.txt 2>&1 & done
{ wait; } 2> err.txt # says who was killed
for number in 1 2 3 4 5 6 7 8; do grep -qE '^[1-9][0-9]* [0-9]+$' client$number.txt || fail "client $number: $(cat client$number.txt)"; done
most=$(cat client?.txt | awk '$1 > most { most = $1 } END { print most }')
won=$(cat client?.txt | awk '{ won += $2 } END { print won }')
[ "$most" = "$won" ] || fail "$most names were contested, and $won clients were told that they took one"
"$DMSNAP" list d --json > list.json
[ "$(jq -r '.[].name' list.json | sort)" = "$( (echo kept; seq -f 'contested%g' 0 $((most - 1))) | sort)" ] || fail "listed: $(jq -r '.[].name' list.json | xargs)"
files=$(cd disk.img.dmsnap && find . -name '*.cow' | wc -l)
[ "$files" -eq $((most + 1)) ] || fail "$files COW files for $((most + 1)) snapshots"

# a reader that stopped in the middle of its request, and one that never reads: nobody waits, but the mount is in use
python3 -c 'from control import *; import sys; a = opened(); os.write(a, verb("status")); b = opened(); os.write(b, b"{"); print(flush=True); sys.stdin.read()' < <(while [ ! -e enough ]; do sleep 0.1; done) > ready &
client=$!
for _ in $(seq 100); do [ ! -s ready ] || break; sleep 0.1; done
timeout 5 "$DMSNAP" status d > out.txt || fail "status waits for a client that does not read"
head -c 1M /dev/urandom | dd of=d/origin bs=64K conv=notrunc,fsync status=none
cmp d/snapshots/kept frozen.img || fail "the snapshot is not what it was"
expect_failure 1 "process $client" "$DMSNAP" umount d
touch enough
wait $client
cp d/origin origin.now
unserve d
cmp disk.img origin.now || fail "the image is not what the origin was"
serve disk.img d
[ "$("$DMSNAP" list d --json | jq -r '.[].name' | sort)" = "$(jq -r '.[].name' list.json | sort)" ] || fail "not the same snapshots after mounting again"
cmp d/snapshots/kept frozen.img && cmp d/snapshots/contested0 frozen.img || fail "after mounting again"
unserve d
