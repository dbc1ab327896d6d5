// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/file_lock.h"
#include "base/unique_fd.h"
#include "set/set_record.h"

namespace dmsnap {

struct OriginOptions {
  bool read_only = false;
  bool format_raw = false;  ///< it is a raw image whatever its first bytes look like
  int fd = -1;              ///< use a duplicate of this descriptor instead of opening the path
};

/// The origin as a file: opened, checked, locked. It reads a few samples of the content and never writes.
/// Constant after construction; any thread.
class OriginFile {
 public:
  /// Opens what `path` leads to (symbolic links are followed first) and checks that it is a regular file or block
  /// device, not empty, and a raw image. A block device is claimed (O_EXCL) when it is to be written. Throws SetError
  /// when it cannot be an origin, std::system_error when it cannot be opened. Does not wait for FIFOs or devices.
  OriginFile(const std::string& path, const OriginOptions& options);

  /// Locks it for as long as the descriptor lives. Throws SetError when another program has it locked.
  void lock(LockMode mode);

  const std::string& path() const { return path_; }  ///< absolute, without symbolic links
  int fd() const { return fd_.get(); }
  std::uint64_t bytes() const { return bytes_; }
  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }
  bool is_block_device() const { return block_device_; }

  /// Why it can only be read although writing was asked for ("it lies on read-only storage"); "" when it can be written
  /// or when only reading was asked for.
  const std::string& read_only_reason() const { return read_only_reason_; }

  /// Modification time now; 1970 for a block device. Throws std::system_error.
  Moment mtime() const;
  /// Fingerprint now; reads up to 6 MiB. Throws std::system_error.
  std::string fingerprint() const;
  /// Returns when all that was written to it, by whatever descriptor, is on stable storage. Throws std::system_error.
  void sync() const;

 private:
  void open(const OriginOptions& options);
  void open_to_write();
  void check_kind();
  void check_format() const;
  void check_writable(const OriginOptions& options);

  std::string path_;
  UniqueFd fd_;
  std::uint64_t bytes_ = 0;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool block_device_ = false;
  std::string read_only_reason_;
};

}  // namespace dmsnap
