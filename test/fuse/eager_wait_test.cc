// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/eager_wait.h"

#include <gtest/gtest.h>

namespace dmsnap::test {
namespace {

/// Each look at it takes a microsecond.
struct Clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static inline time_point time;
  static time_point now() { return time += std::chrono::microseconds(1); }
};
using Wait = EagerWaitBy<Clock>;

const auto at_once = [] { return 0; };
const auto for_long = [] {
  Clock::time += 2 * Wait::short_sleep;
  return 0;
};

/// How often it looked, when nothing comes.
int looks(Wait& wait) {
  int count = 0;
  EXPECT_FALSE(wait.look_for([&] { return ++count, false; }));
  return count;
}

class EagerWaitTest : public testing::Test {
 protected:
  Wait wait_{2};
};

TEST_F(EagerWaitTest, with_one_processor_nobody_looks) {
  Wait alone(1);
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
  const auto since = Clock::time;
  EXPECT_GT(looks(wait_), 0);
  EXPECT_GE(Clock::time - since, Wait::look);
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
