// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace dmsnap {

/// The folder that holds a set, used through one descriptor: nothing in it is reached by a path that somebody could
/// swap, no symbolic link in it is followed. Any thread; it has no state but the descriptor.
class SetFolder {
 public:
  /// Opens the folder; nothing when there is none. Throws SetError when it is no folder, a symbolic link, writable for
  /// everybody, or belongs to somebody else; std::system_error when it cannot be opened.
  static std::optional<SetFolder> open(const std::string& path);
  /// Makes it (mode 0700, durable on return), then as open(). Its parent must exist.
  static SetFolder create(const std::string& path);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }  ///< absolute, without symbolic links
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }

  bool exists(const std::string& name) const;
  /// Names of what is in it, "." and ".." left out. Throws std::system_error.
  std::vector<std::string> entries() const;
  /// True when the storage is read-only (not when only permissions forbid writing).
  bool on_read_only_storage() const;

  /// Each throws std::system_error that names the file.
  UniqueFd create_file(const std::string& name) const;  ///< new, empty, mode 0600, read and write
  UniqueFd open_file(const std::string& name, int flags) const;
  void rename(const std::string& from, const std::string& to) const;
  /// Makes renames, new and removed entries durable.
  void sync() const;

  /// Blanks the start of a COW file, so that nobody takes it for a snapshot again, then unlinks it. False, with a
  /// warning logged, when it is still there. Not durable before sync().
  bool discard(const std::string& name) const;

 private:
  SetFolder(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::string path_;
};

/// Names of the files of snapshot `name`: its COW file, and the same while it is being created or removed.
std::string cow_file(const std::string& name);
std::string temporary_cow_file(const std::string& name);
/// The reverse of temporary_cow_file(); nothing when `file` is no such name.
std::optional<std::string> name_of_temporary(const std::string& file);

}  // namespace dmsnap
