// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/system_error.h"

#include "dmsnap/error.h"

namespace dmsnap {

void throw_errno(const std::string& what) {
  throw std::system_error(last_error(), what);
}

namespace {
class DmsnapCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "dmsnap"; }
  std::string message(int value) const override {
    switch (static_cast<Error>(value)) {
      case Error::snapshot_invalid: return "the snapshot is invalid";
      case Error::snapshot_overflowed: return "the snapshot has overflowed";
      case Error::store_full: return "the COW device is full";
      case Error::disk_full: return "the filesystem of the COW file is full";
      case Error::held_write_lost: return "an acknowledged write could not be put on the origin";
    }
    return "unknown error";
  }
};
}  // namespace

std::error_code make_error_code(Error e) {
  static const DmsnapCategory category;
  return {static_cast<int>(e), category};
}

}  // namespace dmsnap
