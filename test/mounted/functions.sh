# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by every mounted test. Gives it a folder of its own ($PWD), removed at the end with every mount, loop device and
# daemon in it; DMSNAP is the program under test.
set -eu
: "${DMSNAP:?the dmsnap program to test}"
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$source_folder/../support/clean_up.sh"
test_folder=$(mktemp -d "${TMPDIR:-/tmp}/mounted.XXXXXX")
chmod 755 "$test_folder"
trap 'status=$?; cd /; clean_up "$test_folder" > /dev/null || true; exit $status' EXIT
trap 'exit 130' INT TERM HUP
cd "$test_folder"
mkdir d live old

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
# expect_failure STATUS TEXT COMMAND...: it ends with this status and says this on stderr, in one line
expect_failure() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" > out.txt 2> err.txt || status=$?
  [ "$status" -eq "$wanted" ] || fail "$*: exit status $status, not $wanted: $(cat err.txt)"
  grep -qF -- "$text" err.txt || fail "$*: says '$(cat err.txt)', not '$text'"
}
# serve ORIGIN MOUNTPOINT OPTION...: mounts, and remembers the daemon so that it cannot survive the test
serve() {
  "$DMSNAP" mount --log-file "$test_folder/log" "$@" || fail "dmsnap mount $*"
  daemon_of "$2" > "$test_folder/$(basename "$2").pid"
}
daemon_of() { "$DMSNAP" status "$1" --json | jq .pid; }
unserve() {
  "$DMSNAP" umount "$1" || fail "dmsnap umount $1"
  rm -f "$test_folder/$(basename "$1").pid"
}
sha() { sha256sum "$1" | cut -d' ' -f1; }
# tree FOLDER: every file with its checksum, every folder and link
tree() { (cd "$1" && find . -path ./lost+found -prune -o -type f -print0 | sort -z | xargs -0 -r sha256sum && find . -path ./lost+found -prune -o ! -type f -printf '%p %y %l\n' | sort); }
