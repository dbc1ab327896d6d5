// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "dmsnap/result.h"
#include "host/loop_devices.h"

namespace dmsnap {

/// A file that loop devices may stand on.
struct BackingFile {
  std::string path;  ///< as the kernel names it
  dev_t device = 0;  ///< st_dev and st_ino
  ino_t inode = 0;
};

/// A filesystem that is mounted from a device which stands on that file, at however many steps.
struct StackedFilesystem {
  dev_t device = 0;  ///< as the mount table has it
  std::string type;
  std::string point;       ///< where it is mounted; in the mount namespace in which it was found first
  bool read_only = false;  ///< it does not change
  /// The one in the list that has a file below it; nothing: there is none between it and the backing file.
  std::optional<std::size_t> on;
  /// Where it can be opened: a path that leads into any mount namespace, and the mount that must be found there.
  struct Way {
    std::string path;
    std::uint64_t mount = 0;
  };
  std::vector<Way> ways;
};

struct FilesystemStack {
  std::vector<StackedFilesystem> filesystems;  ///< innermost first: each before what it lies on
  std::vector<std::string> notes;              ///< what else stands on the devices, in words
};

/// Where the kernel tells about devices and mounts; tests have their own.
struct KernelTables {
  std::string sys = "/sys";
  std::string proc = "/proc";
  std::function<std::optional<LoopBacking>(const LoopDevice&)> backing = backing_of;
};

/// Follows loop devices over the file, their partitions, loop devices over these and over files of filesystems that are
/// mounted from them, in each mount namespace that a process which can be seen is in. Device-mapper and md devices are
/// noted, not followed. Reads /proc and /sys, and asks loop devices what they stand on.
FilesystemStack filesystems_on(const BackingFile& file, const KernelTables& tables = {});

/// Every mount of the filesystem with this number, as ways to it.
std::vector<StackedFilesystem::Way> ways_to(dev_t device, const std::string& type, const KernelTables& tables = {});

/// Opens the root of the first way that still leads to the filesystem.
Result<UniqueFd> open_filesystem(const std::vector<StackedFilesystem::Way>& ways);

}  // namespace dmsnap
