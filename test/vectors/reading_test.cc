// SPDX-License-Identifier: GPL-2.0-or-later
// Opens every state of every case with our store and compares what it shows with what the kernel showed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>

#include "dmsnap/error.h"
#include "support/rig.h"
#include "vectors/case_file.h"
#include "vectors/deliberate.h"
#include "vectors/devices.h"

namespace dmsnap::test {
namespace {

/// An origin and one COW device at one moment, and what whoever opens them has to see.
struct State {
  std::string label;
  Bytes origin;
  const CowDevice* device = nullptr;
  Bytes cow;
  Record expected;
};

/// At the end a COW device was activated afresh, which is what we do; at a checkpoint the device was in use.
std::optional<Record> expected_at(const Case& described, const Checkpoint& checkpoint, const std::string& name) {
  const bool last = &checkpoint == &described.checkpoints.back();
  if (last && described.reactivated.contains(name)) return described.reactivated.at(name);
  for (const std::string& each : {name, std::string("merge")}) {
    if (checkpoint.devices.contains(each)) return checkpoint.devices.at(each);
  }
  return std::nullopt;
}

std::vector<State> states_of(const Case& described) {
  std::vector<State> states;
  if (described.at_start) {
    const CowDevice& cow = described.cows.front();
    states.push_back({"start", described.origin_at_start(), &cow, described.cow_at_start(cow), *described.at_start});
  }
  for (const Checkpoint& checkpoint : described.checkpoints) {
    for (const CowDevice& cow : described.cows) {
      const auto expected = expected_at(described, checkpoint, cow.name);
      if (!expected) continue;
      Bytes bytes = unpack(described.folder / checkpoint.cow_files.at(cow.name));
      EXPECT_EQ(sha256(bytes), checkpoint.cow_sha256.at(cow.name));
      states.push_back({checkpoint.label, described.origin_at(checkpoint), &cow, std::move(bytes), *expected});
    }
  }
  return states;
}

struct Opened {
  Record record;
  Bytes cow_afterwards;
};

Opened open(const Case& described, const State& state) {
  FailingDevice origin(state.origin);
  Rig rig(origin, state.origin.size());
  Opened opened;
  try {
    RigSnapshot& snapshot =
        rig.add(std::make_unique<FailingDevice>(state.cow), "P", {.chunk_sectors = state.device->chunk_sectors},
                {.sectors = described.snapshot_sectors});
    opened.record.info = snapshot.view->status();
    Bytes content(described.snapshot_bytes());
    opened.record.unreadable = static_cast<bool>(snapshot.file->read(0, content));
    if (!opened.record.unreadable) opened.record.sha256 = sha256(content);
    opened.cow_afterwards = content_of(*snapshot.cow);
  } catch (const StoreError& error) {
    opened.record.result = error.what();
  }
  return opened;
}

bool blank(const Bytes& cow) {
  return std::ranges::all_of(std::span(cow).first(4), [](std::byte b) { return b == std::byte{0}; });
}

void expect_as_in_the_kernel(const Record& ours, const Record& kernel) {
  EXPECT_EQ(ours.result == "ok", kernel.result == "ok")
      << "ours: " << ours.result << "; the kernel's: " << kernel.result;
  if (ours.result != "ok") return;
  EXPECT_EQ(ours.info, kernel.info);
  EXPECT_EQ(ours.unreadable, kernel.unreadable);
  if (kernel.sha256) {
    EXPECT_EQ(ours.sha256, kernel.sha256);
  }
}

class Reading : public testing::TestWithParam<std::string> {};

TEST_P(Reading, every_state_opens_and_reads_as_in_the_kernel) {
  const Case described = read_case(GetParam());
  for (const State& state : states_of(described)) {
    SCOPED_TRACE(described.name + ", " + state.device->name + " at " + state.label);
    const Opened opened = open(described, state);
    if (const Refusal* refusal = find_refusal(described.name, state.label)) {
      EXPECT_PRED_FORMAT2(testing::IsSubstring, refusal->says, opened.record.result) << refusal->why;
      continue;
    }
    expect_as_in_the_kernel(opened.record, state.expected);
    if (opened.record.result != "ok" || blank(state.cow)) continue;
    EXPECT_EQ(opened.cow_afterwards == state.cow, !blanks_tail(described.name, state.label));
  }
}

INSTANTIATE_TEST_SUITE_P(, Reading, testing::ValuesIn(case_names()), test_name);

TEST(Vectors, all_cases_are_there) {
  EXPECT_EQ(case_names().size(), 69U);
}

}  // namespace
}  // namespace dmsnap::test
