// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/progress_bar.h"

#include <gtest/gtest.h>

#include <sstream>

namespace dmsnap::cli {
namespace {

using std::chrono::milliseconds;

class ProgressBarTest : public testing::Test {
 protected:
  /// What is drawn when so much time has passed.
  std::string drawn(ProgressBar& bar, milliseconds later, std::uint64_t done, std::uint64_t total) {
    err_.str("");
    now_ += later;
    bar(done, total);
    return err_.str();
  }
  ProgressBar::Clock clock() {
    return [this] { return now_; };
  }

  std::ostringstream err_;
  std::chrono::steady_clock::time_point now_{};
};

TEST_F(ProgressBarTest, nothing_is_drawn_in_the_first_second) {
  ProgressBar bar(err_, true, clock());
  EXPECT_EQ(drawn(bar, milliseconds(0), 0, 4), "");
  EXPECT_EQ(drawn(bar, milliseconds(999), 3, 4), "");
  bar.clear();
  EXPECT_EQ(err_.str(), "");
}

TEST_F(ProgressBarTest, it_grows_with_what_is_done_ten_times_a_second) {
  ProgressBar bar(err_, true, clock());
  EXPECT_EQ(drawn(bar, milliseconds(1000), 0, 4), "\r[" + std::string(40, ' ') + "]   0 %");
  EXPECT_EQ(drawn(bar, milliseconds(99), 1, 4), "");
  EXPECT_EQ(drawn(bar, milliseconds(1), 1, 4), "\r[" + std::string(10, '=') + std::string(30, ' ') + "]  25 %");
  EXPECT_EQ(drawn(bar, milliseconds(100), 4, 4), "\r[" + std::string(40, '=') + "] 100 %");
}

TEST_F(ProgressBarTest, it_never_passes_its_end_and_stands_at_none_of_nothing) {
  ProgressBar bar(err_, true, clock());
  EXPECT_TRUE(drawn(bar, milliseconds(1000), 9, 4).ends_with("] 100 %"));
  EXPECT_TRUE(drawn(bar, milliseconds(100), 0, 0).ends_with("]   0 %"));
}

TEST_F(ProgressBarTest, it_is_taken_away_once) {
  {
    ProgressBar bar(err_, true, clock());
    drawn(bar, milliseconds(1000), 1, 4);
    err_.str("");
    bar.clear();
    EXPECT_EQ(err_.str(), "\r\033[K");
    err_.str("");
  }
  EXPECT_EQ(err_.str(), "");
}

TEST_F(ProgressBarTest, nobody_who_does_not_want_it_sees_it) {
  ProgressBar bar(err_, false, clock());
  EXPECT_EQ(drawn(bar, milliseconds(5000), 1, 4), "");
  bar.clear();
  EXPECT_EQ(err_.str(), "");
}

}  // namespace
}  // namespace dmsnap::cli
