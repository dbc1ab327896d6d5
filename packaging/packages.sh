# SPDX-License-Identifier: GPL-2.0-or-later
# Sourced by packaging/demo, test/run and test/bench/run: the Debian 12 packages that they need, how they get there, and how a build
# directory is made.

build_packages=(g++ meson ninja-build pkgconf git ca-certificates libfuse3-dev fuse3 liburing-dev libboost-program-options-dev libspdlog-dev
  libfmt-dev libexpected-dev libabsl-dev nlohmann-json3-dev libxxhash-dev libblkid-dev libpng-dev libzstd-dev)
demo_packages=("${build_packages[@]}" e2fsprogs mount)
bench_packages=("${build_packages[@]}" python3 fio qemu-utils qemu-system-common nbdkit libnbd-bin xmount gnuplot-nox libnuma-dev
  e2fsprogs mount util-linux)
test_packages=("${build_packages[@]}" libgtest-dev libssl-dev clang clang-format clang-tidy libclang-rt-14-dev python3 python3-prometheus-client zstd
  e2fsprogs xfsprogs btrfs-progs libarchive-tools fio strace jq mount util-linux mandoc procps
  qemu-system-x86 dmsetup lvm2 kmod cpio dpkg)

# require_packages PACKAGE...: installs what is missing when root, and otherwise prints the line that does
require_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -q '^installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "These packages are missing; install them and run this again:" >&2
    echo "  sudo apt-get install ${missing[*]}" >&2
    return 1
  fi
  echo "Installing: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null || {
    echo "apt-get could not install ${missing[*]}" >&2
    return 1
  }
}

# set_up_build FOLDER OPTION...: a build directory with these options, new, as it was, or after a setup that failed; what
# meson says is shown when it fails
set_up_build() {
  local folder=$1 said
  shift
  if [ -f "$folder/build.ninja" ]; then
    said=$(meson configure "$folder" "$@" 2>&1)
  else
    rm -rf "$folder/meson-private" # without it nothing of a setup that ended half-way is believed
    said=$(meson setup "$folder" "$@" 2>&1)
  fi || {
    echo "$said" >&2
    return 1
  }
}
