// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fmt/format.h>

#include "mounted_image.h"

namespace dmsnap {

/// A mount of type fuse.dmsnap that nobody serves: it does not answer, and once hang_up() was called it is dead.
class FakeFuse {
 public:
  explicit FakeFuse(const std::string& point)
      : connection_(::open("/dev/fuse", O_RDWR | O_CLOEXEC)),
        mounted_("dmsnap", point, "fuse.dmsnap",
                 fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", connection_.get()).c_str()) {}
  explicit operator bool() const { return connection_ && mounted_; }
  void hang_up() { connection_.reset(); }

 private:
  UniqueFd connection_;
  Mounted mounted_;
};

}  // namespace dmsnap
