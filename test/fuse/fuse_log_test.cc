// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_log.h"

#include <gtest/gtest.h>

#include "fuse/libfuse.h"

namespace dmsnap::test {
namespace {

TEST(fuse_messages, what_libfuse_says_is_kept_without_ornament) {
  const FuseMessages messages;
  EXPECT_EQ(messages.text(), "");
  fuse_log(FUSE_LOG_ERR, "fuse: mount failed: %s\n", "why");
  fuse_log(FUSE_LOG_WARNING, "second\n");
  EXPECT_EQ(messages.text(), "mount failed: why; second");
}

}  // namespace
}  // namespace dmsnap::test
