// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/exported_file.h"
#include "dmsnap/result.h"
#include "fuse/libfuse.h"

namespace dmsnap {

/// The inodes that are always there. Text files follow the control file, images have ExportedFile::id().
inline constexpr fuse_ino_t root_inode = FUSE_ROOT_ID;
inline constexpr fuse_ino_t snapshots_inode = 2;
inline constexpr fuse_ino_t dot_dmsnap_inode = 3;
inline constexpr fuse_ino_t control_inode = 4;
inline constexpr fuse_ino_t first_text_inode = 5;
inline constexpr fuse_ino_t delta_inode = 15;
inline constexpr fuse_ino_t first_image_inode = 16;

/// What an inode number stands for.
struct Node {
  enum class Kind { root, snapshots, dot_dmsnap, delta, control, text, image };
  fuse_ino_t inode;
  Kind kind;
  std::string text_name;                ///< of a text
  std::shared_ptr<ExportedFile> image;  ///< of an image
  bool made = false;                    ///< an image of `.dmsnap/delta`

  bool is_folder() const {
    return kind == Kind::root || kind == Kind::snapshots || kind == Kind::dot_dmsnap || kind == Kind::delta;
  }
  /// Made anew whenever it is looked at: nothing of it is cached.
  bool is_volatile() const { return kind == Kind::control || kind == Kind::text || made; }
};

struct FolderEntry {
  std::string name;
  fuse_ino_t inode;
  mode_t type;  ///< S_IFDIR or S_IFREG
};

/// Inode numbers, names and attributes of the mount. It opens nothing, reads nothing, and keeps no image alive: an
/// inode that the kernel knows is remembered by its name, but for the files of `.dmsnap/delta`. Any method, from any
/// thread, at once.
class FileTree {
 public:
  /// Files belong to the user of this process. Folders are for that user alone unless `open_to_others`.
  /// Throws std::length_error when the tree has more text files than there are numbers for them.
  FileTree(ExportedTree& tree, bool open_to_others);

  /// ENOENT, or ENOTDIR; ESTALE when there is no such folder. An image found counts as looked up once more. In
  /// delta_inode it may wait.
  Result<Node> find(fuse_ino_t folder, std::string_view name) EXCLUDES(mutex_);
  /// ESTALE when the kernel knows an image that is gone.
  Result<Node> node(fuse_ino_t inode) EXCLUDES(mutex_);
  /// The kernel has dropped `lookups` of the times that the inode was found.
  void forget(fuse_ino_t inode, std::uint64_t lookups) EXCLUDES(mutex_);

  struct stat attributes(const Node& node) const;
  /// `.` and `..` included, `.dmsnap` not. Empty for what is no folder.
  std::vector<FolderEntry> list(fuse_ino_t folder);

 private:
  struct Known {
    std::string name;
    std::uint64_t lookups = 0;
    std::shared_ptr<ExportedFile> made = nullptr;  ///< of `.dmsnap/delta`: it has no other place
  };
  Result<Node> find_in_root(std::string_view name);
  Result<Node> find_in_dot_dmsnap(std::string_view name) const;
  Result<Node> find_snapshot(std::string_view name) EXCLUDES(mutex_);
  Result<Node> renamed_node(fuse_ino_t inode) EXCLUDES(mutex_);
  Result<Node> find_delta(std::string_view name) EXCLUDES(mutex_);
  Result<Node> fixed_node(fuse_ino_t inode) const;

  ExportedTree& tree_;
  const std::vector<std::string> texts_;
  const mode_t folder_mode_;
  const uid_t user_;
  const gid_t group_;
  const std::timespec mounted_at_;

  Mutex mutex_;
  std::unordered_map<fuse_ino_t, Known> known_ GUARDED_BY(mutex_);  ///< the snapshots that the kernel knows
};

}  // namespace dmsnap
