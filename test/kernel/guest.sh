# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by the tests in this folder: runs a shell script in a virtual machine with Debian's cloud kernel and its
# dm-snapshot. No KVM, no network, nothing installed: kernel and busybox are taken out of their packages once.
guest_folder=${DMSNAP_GUEST:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/build-guest}

# build_guest: makes kernel and initial ramdisk, once, and again when this file has changed
build_guest() {
  local recipe
  recipe=$(sha256sum "${BASH_SOURCE[0]}" | cut -d' ' -f1)
  [ "$(cat "$guest_folder/ready" 2> /dev/null)" != "$recipe" ] || return 0
  rm -rf "$guest_folder" && mkdir -p "$guest_folder/root"
  local package version module file library
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
  version=${package#linux-image-}
  (cd "$guest_folder" && apt-get download -qq "$package" busybox-static > download.log 2>&1) || { cat "$guest_folder/download.log" >&2; return 1; }
  for file in "$guest_folder"/*.deb; do dpkg-deb -x "$file" "$guest_folder/packages"; done
  depmod -b "$guest_folder/packages" "$version"
  cp "$guest_folder/packages/boot/vmlinuz-$version" "$guest_folder/vmlinuz"

  local root=$guest_folder/root
  mkdir -p "$root"/{bin,proc,sys,dev/mapper,run,lib64,lib/x86_64-linux-gnu}
  cp "$guest_folder/packages/bin/busybox" "$root/bin/"
  cp -L "$(command -v dmsetup)" "$(command -v lvm)" "$root/bin/"
  ldd "$root/bin/dmsetup" "$root/bin/lvm" | awk '$2 == "=>" {print $3}' | while read -r library; do cp -L "$library" "$root/lib/x86_64-linux-gnu/"; done
  cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
  for module in virtio_pci virtio_blk dm-snapshot; do
    modprobe -d "$guest_folder/packages" -S "$version" --show-depends $module | awk '$1 == "insmod" {print $2}' | while read -r file; do
      mkdir -p "$root/$(dirname "${file#"$guest_folder/packages"}")"
      cp -n "$file" "$root/${file#"$guest_folder/packages"}"
    done
  done
  depmod -b "$root" "$version" 2> /dev/null
  cat > "$root/init" << 'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
for module in virtio_pci virtio_blk dm-snapshot; do modprobe $module; done
for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; sleep 0.2; done
mkdir -p /dev/mapper
# table NAME LINE: a device-mapper device
table() { dmsetup create "$1" --noudevsync --table "$2" && dmsetup mknodes > /dev/null; }
drop() { dmsetup remove --noudevsync "$@"; }
sha() { sha256sum "$1" | cut -d' ' -f1; }
set -e
trap 'status=$?; sync; echo "guest: ended with $status"; poweroff -f' EXIT
echo
. /job
INIT
  chmod +x "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$guest_folder/initrd"
  echo "$recipe" > "$guest_folder/ready"
}

# run_guest SCRIPT IMAGE...: runs SCRIPT (a file) in the guest; the images are /dev/vda, /dev/vdb, ... Prints what it prints.
run_guest() {
  local script=$1 drives=() image job
  shift
  job=$(mktemp -d)
  cp "$script" "$job/job"
  for image in "$@"; do drives+=(-drive "file=$image,if=virtio,format=raw,cache=unsafe"); done
  # An initial ramdisk may be several archives in a row.
  { cat "$guest_folder/initrd"; (cd "$job" && echo job | cpio -o -H newc --quiet | gzip -1); } > "$job/initrd"
  timeout 300 qemu-system-x86_64 -accel tcg,thread=multi -m 512 -nographic -no-reboot -nic none -kernel "$guest_folder/vmlinuz" \
    -initrd "$job/initrd" -append "console=ttyS0 quiet panic=-1" "${drives[@]}" < /dev/null | tr -d '\000\r' > "$job/out"
  cat "$job/out"
  local ended=1
  grep -q "guest: ended with 0" "$job/out" && ended=0
  rm -r "$job"
  return $ended
}

# fact WORD...: the rest of the line "FACT WORD...: " that the guest printed into guest.txt
fact() { sed -n "s/^FACT $*: //p" guest.txt; }

# run_guest_on_sets SCRIPT SET...: runs SCRIPT, which defines a function 'each', and that for every set: 'each SET ORIGIN COW'
# with the devices of SET.guest.img and SET.guest.cow. What it prints is in guest.txt.
run_guest_on_sets() {
  local script=$1 devices=({a..z}) images=() set
  shift
  for set in "$@"; do
    echo "each $set /dev/vd${devices[${#images[@]}]} /dev/vd${devices[${#images[@]} + 1]}" >> "$script"
    images+=("$set.guest.img" "$set.guest.cow")
  done
  run_guest "$script" "${images[@]}" > guest.txt || fail "the guest failed: $(tail -20 guest.txt)"
}
