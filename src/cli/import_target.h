// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/unique_fd.h"
#include "cli/import_state.h"

namespace dmsnap::cli {

/// The image that a stream is applied to: a regular file or a block device, locked for that long.
class ImportTarget {
 public:
  enum class Open { existing, fresh };

  /// `fresh`: makes the file, durably. Throws std::runtime_error, also when somebody uses it.
  ImportTarget(const std::string& path, Open how);

  /// Makes it ready for an image of this size, of zeros when `empty`; a device may be larger.
  void prepare(std::uint64_t bytes, bool empty);
  /// Whether it has room for an image of this size: a file is as large, a device may be larger.
  bool holds(std::uint64_t bytes) const { return regular_ ? bytes == bytes_ : bytes <= bytes_; }
  void write(std::uint64_t offset, std::span<const std::byte> data);
  void zero(std::uint64_t offset, std::uint64_t length);
  void sync();
  /// Of the first `bytes` of it.
  ImageSeal seal(std::uint64_t bytes) const;

 private:
  void set_size(std::uint64_t bytes);

  const std::string path_;
  UniqueFd fd_;
  bool regular_ = false;
  std::uint64_t bytes_ = 0;
};

}  // namespace dmsnap::cli
