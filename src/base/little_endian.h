// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <endian.h>

#include <cstdint>

namespace dmsnap {

/// A number as it is stored: little-endian, converted only where it is asked to be.
class le32 {
 public:
  le32() = default;
  explicit le32(std::uint32_t host) : stored_(htole32(host)) {}
  std::uint32_t value() const { return le32toh(stored_); }

 private:
  std::uint32_t stored_ = 0;
};

class le64 {
 public:
  le64() = default;
  explicit le64(std::uint64_t host) : stored_(htole64(host)) {}
  std::uint64_t value() const { return le64toh(stored_); }

 private:
  std::uint64_t stored_ = 0;
};

}  // namespace dmsnap
