#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A snapshot that is held is neither removed nor merged, by no way, mounted or not, until it is released; and who keeps one
# busy is named.
. "$(dirname "$0")/functions.sh"
head -c 4M /dev/urandom > disk.img
serve disk.img d
"$DMSNAP" create --hold d kept > out.txt 2> err.txt || fail "create --hold: $(cat err.txt)"
touch d/snapshots/other
refused() { # refused NAME TEXT: every way to lose it
  expect_failure 1 "$2" "$DMSNAP" remove d "$1"
  expect_failure 1 "dmsnap release $PWD/d $1" "$DMSNAP" remove d "$1"
  expect_failure 1 "$2" "$DMSNAP" merge d "$1"
  expect_failure 1 "$2" "$DMSNAP" merge --force d "$1"
  expect_failure 1 "$2" "$DMSNAP" merge --defer d "$1"
  expect_failure 1 "busy" rm d/snapshots/"$1"
  grep -q "remove '$1': .*is held" "$test_folder/log" || fail "the log does not tell why: $(cat "$test_folder/log")"
  [ -e d/snapshots/"$1" ] || fail "$1 is gone"
}
refused kept "snapshot 'kept' is held"
"$DMSNAP" hold d other --reason "of the audit 2024" || fail "hold"
refused other "snapshot 'other' is held: of the audit 2024"
[ "$("$DMSNAP" list d --json | jq -c '[.[] | [.name, .held]]')" = '[["kept",""],["other","of the audit 2024"]]' ] || fail "list: $("$DMSNAP" list d --json)"
"$DMSNAP" status d | grep -q "held: of the audit 2024" || fail "status: $("$DMSNAP" status d)"
"$DMSNAP" list d | grep -q "other.*held" || fail "list: $("$DMSNAP" list d)"
mv d/snapshots/other d/snapshots/renamed
refused renamed "is held: of the audit 2024"
expect_failure 1 "there is no snapshot 'nobody'" "$DMSNAP" hold d nobody
expect_failure 1 "cannot be held" "$DMSNAP" create --hold --type N d fleeting
[ "$(ls d/snapshots | xargs)" = "kept renamed" ] || fail "what is there: $(ls d/snapshots)"

# after mounting again, and without a mount
unserve d
expect_failure 1 "is held" "$DMSNAP" remove disk.img kept
serve disk.img d
refused renamed "is held: of the audit 2024"
"$DMSNAP" release d renamed
rm d/snapshots/renamed
expect_failure 1 "there is no snapshot 'renamed' that is held" "$DMSNAP" release d renamed
touch d/snapshots/last
unserve d
"$DMSNAP" hold disk.img last --reason offline
expect_failure 1 "held: offline" "$DMSNAP" remove disk.img last
"$DMSNAP" release disk.img last
"$DMSNAP" remove disk.img last
"$DMSNAP" release disk.img kept
serve disk.img d
"$DMSNAP" remove d kept || fail "released, and not removed"

# who keeps one busy
touch d/snapshots/a
exec 5< d/snapshots/a
expect_failure 1 "process $$ (" "$DMSNAP" remove d a
expect_failure 1 "busy" rm d/snapshots/a
grep -q "remove 'a': .*process $$ (.*open file snapshots/a" "$test_folder/log" || fail "the log does not name who holds it: $(tail -3 "$test_folder/log")"
exec 5<&-
unserve d
