#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a metadata commit costs, as strace(1) sees it: data, one fdatasync, each sector of the area that changed once, whole, in
# one pwrite where they are neighbours, one fdatasync, however many exceptions were made. (The kernel writes the whole chunk with
# every commit.)
. "$(dirname "$0")/functions.sh"
head -c 16M /dev/urandom > disk.img
serve disk.img d
"$DMSNAP" create d snap > out.txt 2> err.txt

# calls COUNT AT: writes COUNT pages of the snapshot from page AT on, with an fsync; prints what the daemon did to the COW file
calls() {
  : > calls.txt
  strace -q -f -y -e trace=pwrite64,pwritev,pwritev2,fdatasync,fsync,sync_file_range -e write=none -s 0 -o calls.txt -p "$(cat d.pid)" 2> strace.txt &
  local tracer=$!
  for _ in $(seq 100); do grep -qs "TracerPid:[[:space:]]*[1-9]" "/proc/$(cat d.pid)/status" && break; sleep 0.05; done
  dd if=/dev/urandom of=d/snapshots/snap bs=4K seek="$2" count="$1" conv=notrunc,fsync status=none
  kill -INT $tracer
  wait $tracer || true
  # Without what is written ahead of use, in pieces of 64 KiB (BlockDevice::write_ahead).
  # "call bytes offset" or "fdatasync", of the COW file alone
  sed -nE 's/^[0-9]+ +//; s/^(pwrite64)\([0-9]+<[^>]*snap\.cow>, ""(\.\.\.)?, ([0-9]+), ([0-9]+)\).*/\1 \3 \4/p; s/^(f(data)?sync)\([0-9]+<[^>]*snap\.cow>\).*/\1/p' calls.txt | sed '/^pwrite64 65536 /d'
}
# expect NAME COUNT SECTOR...: data, a sync, these sectors of area 0 (byte 4096 on), a sync, and nothing else
expect() {
  local name=$1 pages=$2 bytes=0
  shift 2
  [ "$(grep -c . got.txt)" -gt 3 ] || fail "$name: strace saw too little: $(cat strace.txt calls.txt)"
  [ "$(grep -cx 'fdatasync' got.txt)" = 2 ] && [ "$(grep -c 'sync' got.txt)" = 2 ] || fail "$name: not two fdatasyncs: $(cat got.txt)"
  [ "$(tail -1 got.txt)" = fdatasync ] || fail "$name: something follows the last fdatasync: $(cat got.txt)"
  sed '/^fdatasync$/,$d' got.txt > data.txt
  bytes=$(awk '$3 >= 8192 { sum += $2 } END { print sum }' data.txt)
  [ "$bytes" = $((pages * 4096)) ] && ! awk '$3 < 8192' data.txt | grep -q . || fail "$name: data: $(cat data.txt)"
  sed '1,/^fdatasync$/d; /^fdatasync$/d' got.txt > metadata.txt
  [ "$(wc -l < metadata.txt)" = 1 ] || fail "$name: not one pwrite: $(cat metadata.txt)"
  [ "$(cat metadata.txt)" = "pwrite64 $(($# * 512)) $((4096 + $1 * 512))" ] || fail "$name: metadata: $(cat metadata.txt), not the sectors $*"
}
calls 3 10 > got.txt && expect "a few exceptions" 3 0
calls 1 20 > got.txt && expect "one exception" 1 0
calls 40 100 > got.txt && expect "exceptions of two sectors" 40 0 1
calls 20 200 > got.txt && expect "one sector that fills up" 20 1
calls 130 300 > got.txt && expect "many exceptions" 130 2 3 4 5 6
unserve d
