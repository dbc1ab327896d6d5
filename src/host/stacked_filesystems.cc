// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/stacked_filesystems.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <unordered_set>

#include "host/block_users.h"
#include "host/mount_table.h"
#include "host/sysfs.h"

namespace dmsnap {

namespace fs = std::filesystem;

namespace {

/// A mount, and what leads from our root to the one that its path begins at.
struct SeenMount {
  MountEntry entry;
  std::string root;

  StackedFilesystem::Way way() const { return {.path = root + entry.point, .mount = entry.id}; }
};

void add_mounts(const std::string& process, std::vector<SeenMount>& mounts) {
  for (MountEntry& entry : mount_table(process + "/mountinfo")) {
    mounts.push_back({.entry = std::move(entry), .root = process + "/root"});
  }
}

/// Ours first, then one process of each other mount namespace.
std::vector<SeenMount> mounts_of_all(const std::string& proc) {
  std::vector<SeenMount> mounts;
  std::error_code ignored;
  std::unordered_set<std::string> seen{fs::read_symlink(proc + "/self/ns/mnt", ignored).string()};
  add_mounts(proc + "/self", mounts);
  for (const auto& entry : fs::directory_iterator(proc, ignored)) {
    const std::string pid = entry.path().filename();
    if (!std::ranges::all_of(pid, [](char c) { return c >= '0' && c <= '9'; })) continue;
    const std::string space = fs::read_symlink(entry.path() / "ns/mnt", ignored);
    if (space.empty() || !seen.insert(space).second) continue;
    add_mounts(entry.path(), mounts);
  }
  return mounts;
}

/// A loop device or one of its partitions.
struct Part {
  std::string name;
  dev_t device = 0;
};

class Search {
 public:
  explicit Search(const KernelTables& tables)
      : tables_(tables), loops_(loop_devices(tables.sys)), mounts_(mounts_of_all(tables.proc)) {
    for (const LoopDevice& loop : loops_) backings_.push_back(tables.backing(loop));
  }

  void start(const BackingFile& file) {
    for (std::size_t i = 0; i < loops_.size(); ++i) {
      const auto& backing = backings_[i];
      const bool over_it = backing ? backing->device == file.device && backing->inode == file.inode
                                   : loops_[i].backing_path == file.path;
      if (over_it) follow(i, std::nullopt);
    }
  }

  /// Found were the outer ones first.
  FilesystemStack take() {
    const std::size_t count = found_.filesystems.size();
    std::ranges::reverse(found_.filesystems);
    for (StackedFilesystem& each : found_.filesystems) {
      if (each.on) each.on = count - 1 - *each.on;
    }
    return std::move(found_);
  }

 private:
  void follow(std::size_t loop, std::optional<std::size_t> on) {
    if (!followed_.insert(loop).second) return;
    for (const Part& part : parts_of(loops_[loop])) {
      note_holders(loops_[loop], part);
      for (std::size_t i = 0; i < loops_.size(); ++i) {
        const auto& backing = backings_[i];
        const bool over_it =
            backing ? backing->is_device == part.device : loops_[i].backing_path == "/dev/" + part.name;
        if (over_it) follow(i, on);
      }
      follow_mounts(part, on);
    }
  }

  void follow_mounts(const Part& part, std::optional<std::size_t> on) {
    for (const SeenMount& mount : mounts_) {
      if (mount.entry.device != part.device && mount.entry.source != "/dev/" + part.name) continue;
      const auto known = std::ranges::find(found_.filesystems, mount.entry.device, &StackedFilesystem::device);
      if (known != found_.filesystems.end()) {
        known->ways.push_back(mount.way());
        continue;
      }
      const std::size_t index = found_.filesystems.size();
      found_.filesystems.push_back({.device = mount.entry.device,
                                    .type = mount.entry.type,
                                    .point = mount.entry.point,
                                    .read_only = mount.entry.read_only,
                                    .on = on,
                                    .ways = {mount.way()}});
      for (std::size_t i = 0; i < loops_.size(); ++i) {
        if (lies_in(i, mount.entry.device)) follow(i, index);
      }
    }
  }

  bool lies_in(std::size_t loop, dev_t filesystem) const {
    const auto& backing = backings_[loop];
    if (backing && backing->is_device != 0) return false;
    if (backing && backing->device == filesystem) return true;
    // A file of btrfs tells another number than its filesystem; or the loop device tells nothing.
    const SeenMount* deepest = nullptr;
    for (const SeenMount& mount : mounts_) {
      const std::string folder = mount.entry.point == "/" ? "/" : mount.entry.point + "/";
      if (mount.root != mounts_.front().root || !loops_[loop].backing_path.starts_with(folder)) continue;
      if (deepest == nullptr || mount.entry.point.size() >= deepest->entry.point.size()) deepest = &mount;
    }
    return deepest != nullptr && deepest->entry.device == filesystem;
  }

  std::vector<Part> parts_of(const LoopDevice& loop) const {
    std::vector<Part> parts{{.name = loop.name, .device = loop.device}};
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(tables_.sys + "/block/" + loop.name, ignored)) {
      unsigned major_number = 0;
      unsigned minor_number = 0;
      if (!fs::exists(entry.path() / "partition", ignored)) continue;
      if (std::sscanf(first_line(entry.path() / "dev").c_str(), "%u:%u", &major_number, &minor_number) != 2) continue;
      parts.push_back({.name = entry.path().filename(), .device = makedev(major_number, minor_number)});
    }
    return parts;
  }

  void note_holders(const LoopDevice& loop, const Part& part) {
    const fs::path own = fs::path(tables_.sys) / "block" / loop.name;
    const fs::path folder = (part.name == loop.name ? own : own / part.name) / "holders";
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      found_.notes.push_back(
          fmt::format("{} on /dev/{}: what is mounted from it is not frozen", holder_text(entry.path()), part.name));
    }
  }

  const KernelTables& tables_;
  const std::vector<LoopDevice> loops_;
  const std::vector<SeenMount> mounts_;
  std::vector<std::optional<LoopBacking>> backings_;
  std::unordered_set<std::size_t> followed_;
  FilesystemStack found_;
};

}  // namespace

FilesystemStack filesystems_on(const BackingFile& file, const KernelTables& tables) {
  Search search(tables);
  search.start(file);
  return search.take();
}

std::vector<StackedFilesystem::Way> ways_to(dev_t device, const std::string& type, const KernelTables& tables) {
  std::vector<StackedFilesystem::Way> ways;
  for (const SeenMount& mount : mounts_of_all(tables.proc)) {
    if (mount.entry.device == device && mount.entry.type == type) ways.push_back(mount.way());
  }
  return ways;
}

Result<UniqueFd> open_filesystem(const std::vector<StackedFilesystem::Way>& ways) {
  std::error_code why = errc(std::errc::no_such_file_or_directory);
  for (const auto& way : ways) {
    UniqueFd fd(::open(way.path.c_str(), O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC));
    if (!fd) {
      why = last_error();
    } else if (mount_id_of(fd.get()) == way.mount) {
      return fd;
    }
  }
  return failure(why);
}

}  // namespace dmsnap
