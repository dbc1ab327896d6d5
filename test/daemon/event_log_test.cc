// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/event_log.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace dmsnap {
namespace {

TEST(event_log, tells_what_came_after_one_in_order) {
  EventLog log;
  EXPECT_EQ(log.after(0, 10).newest, 0U);
  log.note("created", {{"snapshot", "a"}});
  log.note("removed", {{"snapshot", "a"}});
  const auto news = log.after(0, 10);
  ASSERT_EQ(news.events.size(), 2U);
  EXPECT_EQ(news.events[0]["event"], "created");
  EXPECT_EQ(news.events[0]["snapshot"], "a");
  EXPECT_EQ(news.events[0]["sequence"], 1);
  EXPECT_EQ(news.events[1]["sequence"], 2);
  EXPECT_EQ(news.newest, 2U);
  EXPECT_EQ(news.missed, 0U);
  EXPECT_EQ(log.after(1, 10).events.size(), 1U);
  EXPECT_EQ(log.after(2, 10).events.size(), 0U);
}

TEST(event_log, who_asks_for_a_few_goes_on_where_he_was) {
  EventLog log;
  for (int i = 0; i < 5; ++i) log.note("error");
  const auto first = log.after(0, 3);
  EXPECT_EQ(first.newest, 3U);
  const auto second = log.after(first.newest, 3);
  EXPECT_EQ(second.events.size(), 2U);
  EXPECT_EQ(second.newest, 5U);
}

TEST(event_log, who_is_too_late_learns_how_many_he_missed) {
  EventLog log;
  for (std::size_t i = 0; i < EventLog::kept + 10; ++i) log.note("error");
  const auto news = log.after(3, 1);
  EXPECT_EQ(news.missed, 7U);
  EXPECT_EQ(news.events[0]["sequence"], 11);
  EXPECT_EQ(log.after(10, 1).missed, 0U);
}

TEST(event_log, one_that_is_yet_to_come_is_answered_with_nothing) {
  EventLog log;
  log.note("error");
  for (const std::uint64_t sequence : {std::uint64_t{7}, ~std::uint64_t{0}}) {
    const auto news = log.after(sequence, 10);
    EXPECT_EQ(news.events.size(), 0U);
    EXPECT_EQ(news.missed, 0U);
    EXPECT_EQ(news.newest, 1U);
  }
}

TEST(event_log, numbers_have_no_gap_whoever_notes) {
  EventLog log;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) log.note("error");
      });
    }
  }
  const auto news = log.after(0, 5000);
  ASSERT_EQ(news.events.size(), 2000U);
  for (std::size_t i = 0; i < 2000; ++i) EXPECT_EQ(news.events[i]["sequence"], i + 1);
}

}  // namespace
}  // namespace dmsnap
