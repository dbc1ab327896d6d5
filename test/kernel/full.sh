#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A COW device without room for the next copy. Whether dmsnap or a kernel gave out its last chunk, both say the same word then, which
# is the type's, and each finds in what the other left the same status and the same content, or that it is invalid.
. "$(dirname "$0")/../mounted/functions.sh"
. "$source_folder/../kernel/guest.sh"
build_guest || fail "no guest: Debian's kernel package could not be fetched"

random() { dd if=/dev/urandom of="$1" bs=4K seek="$2" count="$3" conv=notrunc,fsync status=none 2> err.txt; } # FILE PAGE COUNT

# Type, and who takes the last room: dmsnap or the guest for a write to the snapshot, or dmsnap for a write to the origin.
declare -A words=([P-dmsnap]=Invalid [PO-dmsnap]=Overflow [PO-origin]=Invalid [P-guest]=Invalid [PO-guest]=Overflow)
for set in "${!words[@]}"; do
  random "$set.img" 0 256
  serve "$set.img" d
  "$DMSNAP" create d snap --size 64K --type "${set%-*}" > out.txt
  random d/snapshots/snap 3 10
  case $set in
    *-dmsnap) ! random d/snapshots/snap 100 10 || fail "$set: 20 copies had room in 64K" ;;
    *-origin) random d/origin 100 10 ;;
  esac
  "$DMSNAP" status d snap --dm | cut -d' ' -f4 > "$set.word"
  sha d/snapshots/snap > "$set.sha" 2> err.txt
  unserve d
  cp "$set.img" "$set.guest.img"
  cp "$set.img.dmsnap/snap.cow" "$set.guest.cow"
done

cat > job << 'JOB'
snapshot() { table snap "0 $(blockdev --getsz $2) snapshot $2 $3 ${1%-*} 0"; }
each() {
  snapshot "$@"
  if [ ${1#*-} = guest ]; then
    dd if=/dev/urandom of=/dev/mapper/snap bs=4096 seek=100 count=10 conv=notrunc,fsync 2> /dev/null || true
    echo "FACT $1 word: $(dmsetup status snap | cut -d' ' -f4)"
    drop snap
    snapshot "$@"
  fi
  echo "FACT $1 status: $(dmsetup status snap)"
  echo "FACT $1 sha: $(sha /dev/mapper/snap)"
  drop snap
}
JOB
run_guest_on_sets job "${!words[@]}"
for set in "${!words[@]}"; do
  case $set in
    *-guest) fact "$set" word > "$set.word" ;;
    *) [ "$(fact "$set" sha)" = "$(cat "$set.sha")" ] || fail "$set: the kernel shows another content than dmsnap did" ;;
  esac
  [ "$(cat "$set.word")" = "${words[$set]}" ] || fail "$set: full is called '$(cat "$set.word")', not '${words[$set]}'"
  serve "$set.guest.img" d --attach snap="$PWD/$set.guest.cow"
  [ "$("$DMSNAP" status d snap --dm)" = "$(fact "$set" status)" ] || fail "$set: dmsnap says '$("$DMSNAP" status d snap --dm)', the kernel said '$(fact "$set" status)'"
  [ "$(sha d/snapshots/snap 2> err.txt)" = "$(fact "$set" sha)" ] || fail "$set: dmsnap shows another content than the kernel"
  # What is invalid says so and answers nothing; what has overflowed has its numbers again.
  case ${words[$set]} in
    Invalid) [[ $(fact "$set" status) = *Invalid && -z $(fact "$set" sha) ]] || fail "$set: an invalid snapshot is '$(fact "$set" status)' and can be read" ;;
    *) [[ $(fact "$set" status) = *" 128/128 "* && -n $(fact "$set" sha) ]] || fail "$set: a full snapshot is '$(fact "$set" status)', or cannot be read" ;;
  esac
  unserve d
done
