#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the verbs say is true and tells what to do: who keeps a snapshot or a mount busy, where there is no mount, whose it is,
# and how the set is.
. "$(dirname "$0")/functions.sh"
says() { grep -qF -- "$1" err.txt || fail "says '$(cat err.txt)', not '$1'"; }
says_not() { ! grep -qF -- "$1" err.txt || fail "says '$(cat err.txt)', with '$1' in it"; }
end() { # NAME of a process
  kill "$(cat "$1.pid")"
  wait "$(cat "$1.pid")" || rm "$1.pid"
}
truncate -s 8M disk.img

# Every verb takes a mount point as anybody may write it, also who was in the folder before it was mounted.
ln -s d link
ln -s link link-to-link
mkdir beside
absolute=$test_folder/d
in_folder() { (cd "$1" && shift && "$@"); }
for names in 'd .' 'd ./' 'd ../d' 'd ../link' '. d/' '. ./d//' '. d/.' '. link' '. link/' '. link-to-link' '. beside/../d' 'beside ../d' "/ $absolute"; do
  where=${names% *} name=${names#* }
  cd "$where"
  "$DMSNAP" mount --log-file "$test_folder/log" "$test_folder/disk.img" "$name" || fail "mount $names"
  "$DMSNAP" status "$name" --json > "$test_folder/status.json" || fail "status $names"
  jq .pid "$test_folder/status.json" > "$test_folder/d.pid"
  [ "$(jq -r .mountpoint "$test_folder/status.json")" = "$absolute" ] || fail "$names: mounted on $(jq .mountpoint "$test_folder/status.json")"
  "$DMSNAP" create "$name" one --size 50% > "$test_folder/out.txt" 2> "$test_folder/err.txt" || fail "create $names: $(cat "$test_folder/err.txt")"
  [ "$(cat "$test_folder/out.txt")" = "$absolute/snapshots/one" ] || fail "create $names: prints $(cat "$test_folder/out.txt")"
  "$DMSNAP" list "$name" | grep -q '^one ' || fail "list $names"
  "$DMSNAP" remove "$name" one || fail "remove $names"
  "$DMSNAP" umount "$name" || fail "umount $names"
  cd "$test_folder"
  ! mountpoint -q d || fail "umount $names: still mounted"
  rm d.pid
done
serve disk.img d
for names in 'd/snapshots ..' 'd .' 'd/snapshots ../.'; do
  in_folder "${names% *}" "$DMSNAP" create "${names#* }" one --size 50% > out.txt 2> err.txt || fail "create $names in the mount: $(cat err.txt)"
  in_folder "${names% *}" "$DMSNAP" remove "${names#* }" one || fail "remove $names in the mount"
done
for name in link link-to-link/ d/.; do
  kill -9 "$(cat d.pid)"
  until ! stat d > out.txt 2>&1; do sleep 0.05; done
  "$DMSNAP" umount "$name" 2> err.txt && says "$absolute: its daemon had died" || fail "umount $name of a dead mount: $(cat err.txt)"
  ! mountpoint -q d || fail "umount $name of a dead mount: still mounted"
  serve disk.img d 2> err.txt
done

# a busy snapshot names who has it open, and nobody else: not who asks, nor who has another file
"$DMSNAP" create d kept > out.txt 2> err.txt
"$DMSNAP" create d other > out.txt 2> err.txt
(exec sleep 1000 < d/origin) &
echo $! > holder.pid
(exec sleep 1000 < d/snapshots/kept) &
echo $! > reader.pid
for each in holder reader; do until [ "$(cat "/proc/$(cat $each.pid)/comm")" = sleep ]; do sleep 0.1; done; done
loop=$(losetup --find --show d/snapshots/other)
expect_failure 1 "in use (process $(cat reader.pid) (sleep): open file snapshots/kept): close it first" "$DMSNAP" remove d kept
expect_failure 1 "in use (loop device $loop over snapshots/other): close it first" "$DMSNAP" remove d other
losetup -d "$loop"
end reader

# a busy mount names who is in it, and not the command that asks
cd d
status=0
"$DMSNAP" umount . > ../out.txt 2> ../err.txt || status=$?
cd ..
[ $status -eq 1 ] || fail "umount of a busy mount: exit status $status"
grep -q "process $$ (.*): working directory" err.txt || fail "does not name the shell: $(cat err.txt)"
says "process $(cat holder.pid) (sleep): open file origin"
says_not "(dmsnap)"
end holder

# sizes are printed in one way, and what list shows is counted
"$DMSNAP" status d > status.txt
grep -q "^origin .*(8.0 MiB)" status.txt && grep -q "chunks of 4.0 KiB" status.txt || fail "$(cat status.txt)"
unserve d
mv disk.img.dmsnap/kept.cow kept.cow
serve disk.img d
"$DMSNAP" status d > status.txt
grep -q "^snapshots *2$" status.txt && grep -q "kept *cannot be shown" status.txt || fail "$(cat status.txt)"
grep -q "^read-only .*put it back" status.txt || fail "$(cat status.txt)"
"$DMSNAP" remove d kept
"$DMSNAP" status d > status.txt
grep -q "^read-only *no COW file is missing any more; unmount, and mount again to write" status.txt || fail "$(cat status.txt)"
unserve d

# what is no mount
for verb in status list umount; do
  expect_failure 1 "old: no dmsnap mount: 'findmnt -t fuse.dmsnap' lists" "$DMSNAP" $verb old
  expect_failure 1 "disk.img: no dmsnap mount, but a file" "$DMSNAP" $verb disk.img
  expect_failure 1 "nothing: No such file or directory" "$DMSNAP" $verb nothing
done

# another user's mount, with a /dev/fuse that users may open
cat > theirs.sh << 'SCRIPT'
mknod fuse c 10 229
chmod 666 fuse
mount --bind fuse /dev/fuse
mkdir -p theirs/d
cp disk.img theirs/
chown -R nobody theirs
as_nobody() { setpriv --reuid=nobody --regid=65534 --clear-groups "$@"; }
as_nobody "$DMSNAP" mount theirs/disk.img "$PWD/theirs/d" --log-file "$PWD/theirs/log"
as_nobody "$DMSNAP" status theirs/d --json | jq .pid > theirs.pid
for verb in status list umount; do
  expect_failure 1 "mounted by the user nobody, who alone may ask it: run it as that user: sudo -u nobody dmsnap $verb $PWD/theirs/d" "$DMSNAP" $verb theirs/d
done
for verb in create remove; do
  expect_failure 1 "mounted by the user nobody, who alone may ask it: run it as that user: sudo -u nobody dmsnap $verb" "$DMSNAP" $verb theirs/d x
done
as_nobody "$DMSNAP" umount theirs/d
rm theirs.pid
SCRIPT
export -f expect_failure fail
unshare --mount bash -eu theirs.sh || fail "another user's mount"
