#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A volume group that LVM made in a guest, with a snapshot that was written to, origin and COW in several segments: dmsnap shows
# both from the raw disk image alone, with what packaging/lvm-parts prints, and writes nothing to it; also when the origin was
# extended afterwards, so that its snapshot is shorter.
. "$(dirname "$0")/../mounted/functions.sh"
. "$source_folder/../kernel/guest.sh"
build_guest || fail "no guest: Debian's kernel package could not be fetched"
truncate -s 96M disk.raw
cat > job << 'JOB'
mkdir -p /etc/lvm /run/lock/lvm /run/lvm
lvm() { /bin/lvm "$@" --config 'activation { udev_sync=0 udev_rules=0 } devices { use_devicesfile=0 } backup { backup=0 archive=0 }' > lvm.txt 2>&1 || { cat lvm.txt; return 1; }; }
random() { dd if=/dev/urandom of="$1" bs=4096 seek="$2" count="$3" conv=notrunc 2> /dev/null; } # DEVICE PAGE COUNT
lvm pvcreate /dev/vda
lvm vgcreate -s 1M vg /dev/vda
lvm lvcreate -y -Zn -Wn -l 8 -n live vg
lvm lvcreate -y -Zn -Wn -l 3 -n between vg
lvm lvextend -l 16 vg/live
random /dev/mapper/vg-live 0 4096
lvm lvcreate -y -s -c 4k -l 4 -n old vg/live
lvm lvcreate -y -Zn -Wn -l 3 -n behind vg
lvm lvextend -l 10 vg/old
for at in 5 2000 2001 2047 2048 4095; do random /dev/mapper/vg-live $at 1; done
random /dev/mapper/vg-live 3000 900
for at in 5 7 2046 3100; do random /dev/mapper/vg-old $at 2; done
sync
echo "FACT live: $(sha /dev/mapper/vg-live)"
echo "FACT old: $(sha /dev/mapper/vg-old)"
echo "FACT status: $(dmsetup status vg-old)"
lvm vgchange -an vg
lvm lvcreate -y -Zn -Wn -l 4 -n long vg
random /dev/mapper/vg-long 0 1024
lvm lvcreate -y -s -c 4k -l 3 -n short vg/long
random /dev/mapper/vg-long 1023 1
lvm vgchange -an vg
lvm lvextend -l 6 vg/long
lvm vgchange -ay vg
for at in 3 900 1024 1500; do random /dev/mapper/vg-long $at 1; done
sync
echo "FACT long: $(sha /dev/mapper/vg-long)"
echo "FACT short: $(sha /dev/mapper/vg-short)"
echo "FACT short_status: $(dmsetup status vg-short)"
lvm vgchange -an vg
JOB
run_guest job disk.raw > guest.txt || fail "the guest failed: $(tail -20 guest.txt)"
before=$(sha disk.raw)
"$source_folder/../../packaging/lvm-parts" disk.raw > parts.txt || fail "lvm-parts: $(cat parts.txt)"
[ "$(grep -c '^vg/\(live\|old\) disk.raw@[0-9]*+[0-9]*@[0-9]*+[0-9]*' parts.txt)" = 2 ] || fail "not two volumes of two segments: $(cat parts.txt)"
read -r _ _ _ origin _ _ attach < <(grep '^dmsnap mount.* old=' parts.txt)
serve "$origin" d --read-only --attach "$attach"
[ "$(sha d/origin)" = "$(fact live)" ] || fail "the origin is not what LVM showed"
[ "$(sha d/snapshots/old)" = "$(fact old)" ] || fail "the snapshot is not what LVM showed"
[ "$("$DMSNAP" status d old --dm)" = "$(fact status)" ] || fail "status --dm says '$("$DMSNAP" status d old --dm)', the kernel said '$(fact status)'"
expect_failure 1 "Read-only" dd if=/dev/zero of=d/origin bs=4K count=1 conv=notrunc
unserve d
"$DMSNAP" check "${attach#old=}" --origin "$origin" > out.txt || fail "not sound: $(cat out.txt)"
expect_failure 2 "read-only" "$DMSNAP" mount "$origin" d --attach "$attach"
read -r _ _ _ origin _ _ attach < <(grep '^dmsnap mount.* short:4194304=' parts.txt) || fail "nobody says that it is shorter: $(cat parts.txt)"
serve "$origin" d --read-only --attach "$attach"
[ "$(sha d/origin)" = "$(fact long)" ] || fail "the extended origin is not what LVM showed"
[ "$(sha d/snapshots/short)" = "$(fact short)" ] || fail "the shorter snapshot is not what LVM showed"
[ "$("$DMSNAP" status d short --dm)" = "$(fact short_status)" ] || fail "status --dm says '$("$DMSNAP" status d short --dm)', the kernel said '$(fact short_status)'"
unserve d
[ "$(sha disk.raw)" = "$before" ] || fail "the disk image was written to"
