// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/unique_fd.h"

namespace dmsnap::cli {

/// An image as bytes, to be read from its beginning to its end.
class ImageReader {
 public:
  /// Throws std::system_error.
  explicit ImageReader(const std::string& path);

  std::uint64_t bytes() const { return bytes_; }
  /// All of `to`. Throws std::system_error.
  void read(std::uint64_t offset, std::span<std::byte> to) const;
  /// Calls `each` with the ranges that are no holes, ascending: all of it where the file cannot tell.
  void for_each_data(const std::function<void(std::uint64_t offset, std::uint64_t length)>& each) const;

 private:
  const std::string path_;
  UniqueFd fd_;
  std::uint64_t bytes_ = 0;
};

}  // namespace dmsnap::cli
