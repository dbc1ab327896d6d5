#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A build directory whose setup failed, or was stopped half-way, is set up by the next call; one that is there is used again.
set -eu
. "$(dirname "$0")/../packaging/packages.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
fail() { echo "FAILED: $*" >&2; exit 1; }
printf "project('example')\nfiles('missing.txt')\n" > meson.build

! set_up_build build 2> err.txt || fail "set up without a file that it needs"
grep -q missing.txt err.txt || fail "does not say what is missing: $(cat err.txt)"
touch missing.txt
set_up_build build || fail "not set up after a setup that failed"
[ -f build/build.ninja ] || fail "nothing to build with"
rm build/build.ninja # as if killed before this was written
echo mine > build/mine
set_up_build build || fail "not set up after a setup that was stopped"
[ -f build/build.ninja ] && [ -f build/mine ] || fail "not set up, or not only that"
set_up_build build --werror -Dunity=on || fail "not used again"
meson introspect build --buildoptions | jq -e '.[] | select(.name == "unity") | .value == "on"' > out.txt || fail "options are not taken over"
