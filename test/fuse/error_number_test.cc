// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/error_number.h"

#include <gtest/gtest.h>

#include <future>

#include "dmsnap/error.h"

namespace dmsnap::test {
namespace {

int of_value(int value) {
  return error_number({value, std::generic_category()});
}

TEST(error_number, errno_values_stay) {
  EXPECT_EQ(error_number({}), 0);
  EXPECT_EQ(of_value(ENOSPC), ENOSPC);
  EXPECT_EQ(error_number({EDQUOT, std::system_category()}), EDQUOT);
}

TEST(error_number, ours_and_those_of_strangers_are_eio) {
  EXPECT_EQ(error_number(Error::snapshot_overflowed), EIO);
  EXPECT_EQ(error_number(std::make_error_code(std::future_errc::no_state)), EIO);
}

TEST(error_number, what_the_kernel_would_misunderstand_is_eio) {
  for (const int value : {ENOSYS, 512, 4711, -EIO}) EXPECT_EQ(of_value(value), EIO) << value;
}

}  // namespace
}  // namespace dmsnap::test
