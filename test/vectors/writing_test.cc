// SPDX-License-Identifier: GPL-2.0-or-later
// Carries out the ops of the cases on our engine and compares every byte with what the kernel wrote.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "store/disk_format.h"
#include "vectors/case_file.h"
#include "vectors/deliberate.h"
#include "vectors/devices.h"
#include "vectors/replay.h"

namespace dmsnap::test {
namespace {

using Names = std::set<std::string>;

std::vector<std::string> replayed() {
  std::vector<std::string> names = case_names();
  std::erase_if(names, [](const std::string& name) { return replayed_ops(name, 1) == 0; });
  return names;
}

void run(Replay& replay, const Case& described) {
  replay.run(replayed_ops(described.name, described.ops.size()));
}

/// Chunk by chunk, the chunks as large as the case says.
std::vector<std::uint64_t> differing_chunks(const Bytes& ours, const Bytes& kernels, std::uint64_t chunk_bytes) {
  std::vector<std::uint64_t> chunks;
  EXPECT_EQ(ours.size(), kernels.size());
  for (std::uint64_t at = 0; at < ours.size(); at += chunk_bytes) {
    const std::uint64_t size = std::min<std::uint64_t>(chunk_bytes, ours.size() - at);
    if (!std::ranges::equal(std::span(ours).subspan(at, size), std::span(kernels).subspan(at, size))) {
      chunks.push_back(at / chunk_bytes);
    }
  }
  return chunks;
}

class Writing : public testing::TestWithParam<std::string> {};

TEST_P(Writing, ops_give_the_kernels_bytes_contents_and_status) {
  const Case described = read_case(GetParam());
  const Difference* const difference = find_difference(described.name);
  Replay replay(described);
  if (difference != nullptr || depends_on_timing(described.name)) replay.leave_out_cows();
  run(replay, described);
  if (depends_on_timing(described.name)) return;
  for (const CowDevice& cow : described.cows) {
    const Bytes kernels = unpack(described.folder / described.checkpoints.back().cow_files.at(cow.name));
    EXPECT_EQ(differing_chunks(replay.cow(cow.name), kernels, cow.chunk_sectors * sector_bytes),
              difference != nullptr ? difference->chunks : std::vector<std::uint64_t>())
        << (difference != nullptr ? difference->why : "no difference is meant");
  }
}

INSTANTIATE_TEST_SUITE_P(, Writing, testing::ValuesIn(replayed()), test_name);

/// Header and areas in use when the status line said so much.
std::vector<std::uint64_t> metadata_chunks(const std::string& info, std::uint64_t chunk_sectors) {
  const std::uint64_t in_use = std::stoull(info.substr(info.rfind(' ') + 1)) / chunk_sectors;
  const std::uint64_t stride = chunk_sectors * sector_bytes / sizeof(disk::Entry) + 1;
  std::vector<std::uint64_t> chunks{0};
  for (std::uint64_t area = 0; area + 1 < in_use; ++area) chunks.push_back(1 + area * stride);
  return chunks;
}

class WritingOverOldBytes : public testing::TestWithParam<std::string> {};

TEST_P(WritingOverOldBytes, gives_the_same_contents_status_and_metadata) {
  const Case described = read_case(GetParam());
  Replay replay(described, Replay::Blank::old_bytes);
  replay.leave_out_cows();
  run(replay, described);
  for (const CowDevice& cow : described.cows) {
    const std::string info = described.reactivated.at(cow.name).info.value();
    if (info == "Invalid") continue;
    const Bytes kernels = unpack(described.folder / described.checkpoints.back().cow_files.at(cow.name));
    const auto differing = differing_chunks(replay.cow(cow.name), kernels, cow.chunk_sectors * sector_bytes);
    for (const std::uint64_t chunk : metadata_chunks(info, cow.chunk_sectors)) {
      EXPECT_EQ(std::ranges::count(differing, chunk), 0) << "metadata chunk " << chunk;
    }
  }
}

std::vector<std::string> replayed_from_zeros() {
  std::vector<std::string> names = replayed();
  std::erase_if(names, [](const std::string& name) {
    const Case described = read_case(name);
    const auto given = [](const CowDevice& cow) { return cow.file_at_start.has_value(); };
    return described.type == "N" || depends_on_timing(name) || find_difference(name) != nullptr ||
           std::ranges::any_of(described.cows, given);
  });
  return names;
}

INSTANTIATE_TEST_SUITE_P(, WritingOverOldBytes, testing::ValuesIn(replayed_from_zeros()), test_name);

TEST(Vectors, what_is_not_replayed_cannot_be) {
  Names expected;
  for (const std::string& name : case_names()) {
    const Case described = read_case(name);
    const bool supported = std::ranges::all_of(described.ops, Replay::supports);
    const bool opens_alike = find_refusal(name, "start") == nullptr && !blanks_tail(name, "start");
    if (!supported || !opens_alike) expected.insert(name);
  }
  Names listed;
  for (const NotReplayed& each : not_replayed()) listed.emplace(each.name);
  EXPECT_EQ(listed, expected);
}

}  // namespace
}  // namespace dmsnap::test
