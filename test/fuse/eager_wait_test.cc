// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/eager_wait.h"

#include <gtest/gtest.h>

namespace dmsnap::test {
namespace {

const auto at_once = [] { return 0; };
const auto for_long = [] {
  std::this_thread::sleep_for(2 * EagerWait::short_sleep);
  return 0;
};

/// How often it looked, when nothing comes.
int looks(EagerWait& wait) {
  int count = 0;
  EXPECT_FALSE(wait.look_for([&] { return ++count, false; }));
  return count;
}

class EagerWaitTest : public testing::Test {
 protected:
  EagerWait wait_{2};
};

TEST_F(EagerWaitTest, with_one_processor_nobody_looks) {
  EagerWait alone(1);
  alone.sleep(at_once);
  EXPECT_EQ(looks(alone), 0);
}

TEST_F(EagerWaitTest, nobody_looks_before_requests_follow_each_other_closely) {
  EXPECT_EQ(looks(wait_), 0);
  wait_.sleep(for_long);
  EXPECT_EQ(looks(wait_), 0);
}

TEST_F(EagerWaitTest, after_a_short_sleep_it_looks_and_stops_when_something_is_there) {
  wait_.sleep(at_once);
  int calls = 0;
  EXPECT_TRUE(wait_.look_for([&] { return ++calls == 2; }));
  EXPECT_EQ(calls, 2);
}

TEST_F(EagerWaitTest, a_look_ends) {
  wait_.sleep(at_once);
  const auto since = std::chrono::steady_clock::now();
  EXPECT_GT(looks(wait_), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - since, EagerWait::look);
}

TEST_F(EagerWaitTest, a_long_sleep_ends_the_looking) {
  wait_.sleep(at_once);
  EXPECT_GT(looks(wait_), 0);
  wait_.sleep(for_long);
  EXPECT_EQ(looks(wait_), 0);
}

TEST_F(EagerWaitTest, a_large_request_ends_the_looking) {
  wait_.sleep(at_once);
  wait_.had_large_request();
  EXPECT_EQ(looks(wait_), 0);
}

TEST_F(EagerWaitTest, what_a_sleep_answers_is_passed_on) {
  EXPECT_EQ(wait_.sleep([] { return 7; }), 7);
}

}  // namespace
}  // namespace dmsnap::test
