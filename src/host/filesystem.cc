// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/filesystem.h"

#include <blkid/blkid.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>
#include <string_view>

namespace dmsnap {

namespace {

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

/// Before Linux 6.7 btrfs takes two devices with one UUID for one filesystem.
bool btrfs_mounts_twins(const std::string& release) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &major, &minor) != 2) return false;
  return major > 6 || (major == 6 && minor >= 7);
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view marks = "/._-+,:=@%";
  const auto plain = [&](char c) { return std::isalnum(static_cast<unsigned char>(c)) || marks.find(c) != marks.npos; };
  if (!text.empty() && std::ranges::all_of(text, plain)) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

/// A journal that needs to be replayed makes even a read-only mount fail where nothing can be written.
std::string options_for(const std::string& filesystem, bool writable) {
  if (filesystem == "xfs") return writable ? "loop,nouuid" : "loop,ro,norecovery,nouuid";
  if (writable) return "loop";
  if (filesystem == "ext3" || filesystem == "ext4") return "loop,ro,noload";
  if (filesystem == "btrfs") return "loop,ro,rescue=nologreplay";
  return "loop,ro";
}

}  // namespace

std::string filesystem_type(int fd, std::uint64_t offset, std::uint64_t bytes) {
  const Probe probe(blkid_new_probe());
  if (!probe ||
      blkid_probe_set_device(probe.get(), fd, static_cast<blkid_loff_t>(offset), static_cast<blkid_loff_t>(bytes)) != 0)
    return {};
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  const char* usage = nullptr;
  const char* type = nullptr;
  if (blkid_do_safeprobe(probe.get()) != 0) return {};
  if (blkid_probe_lookup_value(probe.get(), "USAGE", &usage, nullptr) != 0 || std::string(usage) != "filesystem")
    return {};
  if (blkid_probe_lookup_value(probe.get(), "TYPE", &type, nullptr) != 0) return {};
  return type;
}

std::string signature_in(int fd) {
  const Probe probe(blkid_new_probe());
  if (!probe || blkid_probe_set_device(probe.get(), fd, 0, 0) != 0) return {};
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
  blkid_probe_enable_partitions(probe.get(), 1);
  // 1: nothing. -2: more than one thing.
  const int outcome = blkid_do_safeprobe(probe.get());
  if (outcome == -2) return "several signatures";
  if (outcome != 0) return {};
  const char* type = nullptr;
  for (const char* name : {"TYPE", "PTTYPE"}) {
    if (blkid_probe_lookup_value(probe.get(), name, &type, nullptr) == 0) return type;
  }
  return "something";
}

std::string mount_hint(const SnapshotImage& image, const std::string& release) {
  std::string command =
      "mount -o " + options_for(image.filesystem, image.writable) + " " + shell_word(image.path) + " DIRECTORY";
  if (image.filesystem != "btrfs" || btrfs_mounts_twins(release)) return command;
  return command + " (unmount the origin first: Linux before 6.7 cannot mount both)";
}

std::string mount_hint(const SnapshotImage& image) {
  utsname system{};
  return mount_hint(image, ::uname(&system) == 0 ? system.release : "");
}

}  // namespace dmsnap
