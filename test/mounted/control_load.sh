#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A change that takes its time (its helper stands still) and 200 clients that ask for more of them hold up neither looks nor
# images; all get their replies, those that died, too, have what they asked for, and the daemon is as small as before. Over
# /dev/fuse and, where the kernel has it, io_uring.
. "$(dirname "$0")/functions.sh"
. "$source_folder/../support/io_uring_switch.sh"
trap 'status=$?; [ -z "$helper" ] || kill -CONT "$helper" || true; cd /; restore_io_uring; clean_up "$test_folder" > /dev/null || true; exit $status' EXIT
helper=
head -c 4M /dev/urandom > disk.img

cat > clients.py << 'PYTHON'
import json, os, sys, time
def opened(flags=os.O_RDWR):
    return os.open("d/.dmsnap/control", flags)
def reply(fd):
    return json.loads(b"".join(iter(lambda: os.read(fd, 65536), b"")))
def send(fd, what, **members):
    os.write(fd, json.dumps({"verb": what, **members}).encode() + b"\n")
def ask(what, **members):
    fd = opened()
    send(fd, what, **members)
    answer = reply(fd)
    os.close(fd)
    return answer
def size(daemon):
    """Descriptors, threads and KiB in memory."""
    status = dict(line.split(":", 1) for line in open(f"/proc/{daemon}/status"))
    return len(os.listdir(f"/proc/{daemon}/fd")), int(status["Threads"]), int(status["VmRSS"].split()[0])
PYTHON

cat > load.py << 'PYTHON'
from clients import *
daemon, helper = int(sys.argv[1]), int(sys.argv[2])
def round_of(count):
    os.kill(helper, 19)
    clients = [opened() for _ in range(count)]
    for number, fd in enumerate(clients):
        send(fd, "create", name=f"s{number}")
    begin = time.monotonic()
    assert ask("status")["ok"] and ask("list")["ok"]
    with open("d/origin", "r+b") as image:
        image.seek(4096)
        image.write(b"x" * 4096)
        os.fsync(image.fileno())
    dead = os.fork()
    if dead == 0:
        send(opened(), "create", name="orphan")
        os.kill(os.getpid(), 9)
    os.waitpid(dead, 0)
    assert time.monotonic() - begin < 4, "a look, a write or a death waits for a change"
    os.kill(helper, 18)
    for fd in clients:
        answer = reply(fd)
        assert answer["ok"], answer
        os.close(fd)
    wanted = {f"s{number}" for number in range(count)} | {"orphan"}
    while (names := {each["name"] for each in ask("list")["snapshots"]}) != wanted:
        assert time.monotonic() - begin < 60, names
        time.sleep(0.01)
    for name in names:
        assert ask("remove", name=name)["ok"]
def many_looks(count):
    clients = [opened() for _ in range(count)]
    for fd in clients:
        send(fd, "status")
    for fd in clients:
        assert reply(fd)["ok"]
        os.close(fd)
round_of(20)
many_looks(200)
before = size(daemon)
for _ in range(3):
    round_of(20)
    many_looks(200)
for _ in range(200):
    half = opened()
    os.write(half, b'{"verb": "create", "name": "half')
    os.close(half)
after = size(daemon)
print(before, after)
assert after[0] <= before[0] and after[1] <= before[1] + 16 and after[2] <= before[2] + 4096, (before, after)
assert ask("list")["snapshots"] == []
PYTHON

# killed while it waits for its reply: over /dev/fuse at once
cat > killed.py << 'PYTHON'
from clients import *
helper = int(sys.argv[1])
os.kill(helper, 19)
child = os.fork()
if child == 0:
    fd = opened()
    send(fd, "create", name="late")
    reply(fd)
    os._exit(0)
time.sleep(0.5)
begin = time.monotonic()
os.kill(child, 9)
os.waitpid(child, 0)
took = time.monotonic() - begin
os.kill(helper, 18)
assert took < 2, f"a client that was killed stayed for {took:.1f} s"
while [each["name"] for each in ask("list")["snapshots"]] != ["late"]:
    time.sleep(0.05)
assert ask("remove", name="late")["ok"]
PYTHON

both() { # TRANSPORT
  serve disk.img d --transport "$1"
  helper=$("$DMSNAP" status d --json | jq .freeze.helper_pid)
  [ "$helper" != null ] || fail "no helper: $("$DMSNAP" status d)"
  timeout 120 python3 load.py "$(cat d.pid)" "$helper" > out.txt 2>&1 || fail "$1: $(cat out.txt)"
  [ "$1" = io_uring ] || python3 killed.py "$helper" > out.txt 2>&1 || fail "$1: $(cat out.txt)"
  helper=
  unserve d
}
both dev-fuse
switch_io_uring Y || exit 0
both io_uring
