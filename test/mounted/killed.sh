#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon is killed in the middle of a write load, again and again, also while the origin is rolled back to a snapshot: after
# mounting again every flushed write is there, in the origin and in the snapshot that is written, and every other snapshot shows
# exactly its frozen content.
. "$(dirname "$0")/functions.sh"
rounds=${DMSNAP_KILLS:-50} layout=()
truncate -s 24M disk.img
python3 "$source_folder/kill_load.py" init disk.img
for round in $(seq 1 "$rounds"); do
  # The second half with a chain, so that the daemon is killed on the way of a removal, too.
  [ "$round" -le $((rounds / 2)) ] || layout=(--layout chained)
  serve disk.img d "${layout[@]}"
  if [ "$round" -gt 1 ]; then
    python3 "$source_folder/kill_load.py" verify d state || fail "round $round"
  fi
  if [ $((round % 5)) -eq 1 ]; then
    "$DMSNAP" wait d
    python3 "$source_folder/kill_load.py" freeze d "snap$round" state
    chunk=$((512 << (round / 5 % 8)))
    "$DMSNAP" create d "snap$round" --chunk-size "$chunk" 2> /dev/null > out.txt
    # A new one each time: its chunks have no copy yet.
    python3 "$source_folder/kill_load.py" adopt d "written$round" state
    "$DMSNAP" create d "written$round" --chunk-size "$chunk" 2> /dev/null > out.txt
    [ ! -e "d/snapshots/written$((round - 5))" ] || "$DMSNAP" remove d "written$((round - 5))"
    if [ -e "state/frozen.snap$((round - 20))" ]; then
      "$DMSNAP" remove d "snap$((round - 20))"
      rm "state/frozen.snap$((round - 20))"
    fi
  elif [ $((round % 5)) -eq 3 ]; then
    # Slow enough to be on its way when the daemon dies, and resumed faster by the next mount.
    [ $((round % 10)) -eq 3 ] && merged=snap$((round - 2)) || merged=written$((round - 2))
    "$DMSNAP" merge d "$merged" --keep --bwlimit 2M 2> err.txt || fail "merge in round $round: $(cat err.txt)"
    python3 "$source_folder/kill_load.py" rolled_back "$merged" state
  fi
  python3 "$source_folder/kill_load.py" load d state "$round" "$(cat d.pid)" || fail "load in round $round"
  rm -f d.pid
  "$DMSNAP" umount d 2> err.txt
  grep -q "had died" err.txt || fail "the daemon was not killed: $(cat err.txt)"
done
serve disk.img d
python3 "$source_folder/kill_load.py" verify d state || fail "at the end"
unserve d
