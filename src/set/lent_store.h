// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace dmsnap {

/// A file or block device of a user's that is to become the COW of a new snapshot, where it lies. Destroyed without
/// keep(), it is as it was found: its first bytes, its length, or not there. One thread at a time.
class LentStore {
 public:
  /// Makes the file when there is none. `head_bytes` from the start on are what may be written before keep(). Throws
  /// SetError when it holds something, is in use, or is neither a file nor a block device; std::system_error.
  LentStore(const std::string& path, std::size_t head_bytes);
  LentStore(const LentStore&) = delete;
  LentStore& operator=(const LentStore&) = delete;
  ~LentStore();

  /// Absolute, without symbolic links.
  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  /// Of the file or device as it was found; 0: it is as long as it is made.
  std::uint64_t bytes() const { return bytes_; }
  /// It is nobody else's, and may be written: without keep() it gets back what it had. Before, it is left alone.
  void begin() { begun_ = true; }
  /// From now on it belongs to a snapshot.
  void keep() { kept_ = true; }

 private:
  void look(std::size_t head_bytes);
  void put_back() const;

  std::string path_;
  UniqueFd fd_;
  bool made_ = false;
  bool begun_ = false;
  bool kept_ = false;
  std::uint64_t bytes_ = 0;
  std::vector<std::byte> head_;  // as it was found
};

/// Blanks the start of the COW at `path`, so that nobody takes it for a snapshot again, and it can be lent again;
/// durable. What has no COW's header (any more) is left as it is. False, with a warning logged, when it fails.
bool blank_lent_store(const std::string& path);

}  // namespace dmsnap
