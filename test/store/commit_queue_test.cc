// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/commit_queue.h"

#include <gtest/gtest.h>

namespace dmsnap {
namespace {

CowRun chunk(std::uint64_t n) {
  return {.first = CowChunk(n), .length = 1};
}
Commit copied(std::uint64_t n) {
  return {.run = {.origin = Chunk(100 + n), .copy = CowChunk(n)}, .copied = true};
}
std::vector<std::uint64_t> taken(CommitQueue& queue) {
  std::vector<std::uint64_t> chunks;
  for (const Commit& commit : queue.take_ready()) chunks.push_back(commit.run.copy.value());
  return chunks;
}

TEST(CommitQueue, a_commit_waits_for_those_prepared_before_it) {
  CommitQueue queue;
  for (std::uint64_t n : {2U, 3U, 4U, 5U}) queue.open(chunk(n));
  queue.ready(copied(5));
  queue.ready(copied(4));
  queue.ready(copied(3));
  EXPECT_TRUE(taken(queue).empty());
  queue.ready(copied(2));
  EXPECT_EQ(taken(queue), (std::vector<std::uint64_t>{2, 3, 4, 5}));
  EXPECT_TRUE(queue.empty());
}

TEST(CommitQueue, what_is_ready_goes_without_what_was_prepared_after_it) {
  CommitQueue queue;
  for (std::uint64_t n : {2U, 3U, 4U}) queue.open(chunk(n));
  queue.ready(copied(2));
  queue.ready(copied(4));
  EXPECT_EQ(taken(queue), (std::vector<std::uint64_t>{2}));
  EXPECT_FALSE(queue.empty());
}

TEST(CommitQueue, settled_looks_at_what_was_open_then_not_at_what_came_later) {
  CommitQueue queue;
  queue.open(chunk(2));
  const std::size_t then = queue.opened();
  queue.open(chunk(3));
  EXPECT_FALSE(queue.settled(then));
  queue.ready(copied(2));
  EXPECT_TRUE(queue.settled(then));
  EXPECT_FALSE(queue.settled(queue.opened()));
  taken(queue);
  EXPECT_TRUE(queue.settled(then));
}

}  // namespace
}  // namespace dmsnap
