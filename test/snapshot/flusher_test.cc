// SPDX-License-Identifier: GPL-2.0-or-later
// The order of a wave, and who is told what when a step of it fails.
#include "snapshot/flusher.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dmsnap/error.h"
#include "support/faulty_device.h"
#include "support/recording_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

/// Chunks of 8 sectors: the header is COW sector 0, area 0 is sector 8, copies begin at sector 16.
class FlusherTest : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 512;

  FlusherTest() : origin_("origin", sectors, events_), rig_(origin_, sectors * sector_bytes) {}

  RigSnapshot& take(const std::string& name, const std::string& type = "P", std::uint64_t cow_sectors = 2 * sectors) {
    auto recording = std::make_unique<RecordingDevice>(name, cow_sectors, events_);
    auto cow = std::make_unique<FaultyDevice>(std::move(recording));
    cow_ = cow.get();
    auto& taken = rig_.add(std::move(cow), type, {.chunk_sectors = 8},
                           {.record_invalid = [this](const std::string&) { return record_error_; }});
    events_.clear();
    return taken;
  }
  std::error_code write(View& view, std::uint64_t sector, std::uint64_t count = 8) {
    return *view.write(Sector(sector), std::vector<std::byte>(count * sector_bytes, std::byte{7}), Wait::yes);
  }
  std::error_code write_origin(std::uint64_t sector) { return write(rig_.origin(), sector); }
  void request(View& view, const std::string& name = "done") {
    rig_.flusher().request(view, [this, name](std::error_code error) {
      events_.push_back(error ? name + " failed" : name);
      answer_ = error;
    });
  }
  Events wave() {
    rig_.flusher().run_wave();
    return std::exchange(events_, {});
  }
  /// What the origin's flush is told.
  std::error_code flush_origin() {
    request(rig_.origin());
    wave();
    return answer_;
  }

  Events events_;
  RecordingDevice origin_;
  FaultyDevice* cow_ = nullptr;
  std::error_code answer_;
  std::error_code record_error_;
  Rig rig_;
};

TEST_F(FlusherTest, copies_are_durable_before_their_entries_and_entries_before_the_origin_changes) {
  take("cow");
  EXPECT_FALSE(write_origin(40));
  EXPECT_TRUE(events_.empty()) << "held";
  request(rig_.origin());
  EXPECT_EQ(wave(), (Events{"cow write 16+8", "cow flush", "cow write 8+1", "cow flush", "origin write 40+8",
                            "origin flush", "done"}));
}

TEST_F(FlusherTest, every_snapshot_has_its_copies_before_the_origin_changes) {
  take("one");
  take("two");
  EXPECT_FALSE(write_origin(0));
  EXPECT_EQ(wave(), (Events{"one write 16+8", "two write 16+8", "one flush", "two flush", "one write 8+1",
                            "two write 8+1", "one flush", "two flush", "origin write 0+8"}));
}

TEST_F(FlusherTest, an_area_that_is_entered_is_zeros_before_an_entry_says_that_the_one_before_is_full) {
  take("cow", "P", 4000);
  EXPECT_FALSE(write(rig_.origin(), 0, 512));
  wave();
  auto& snapshot = rig_.snapshots().front();
  EXPECT_EQ(snapshot.view->status(), "528/4000 16");
  for (std::uint64_t i = 64; i < 256; ++i) {  // entries 64 to 255 of area 0: the engine's origin is too small for them
    const auto run = snapshot.store->prepare(1);
    snapshot.store->commit({.origin = Chunk(i), .copy = run->first}, true, {});
  }
  EXPECT_EQ(wave(), (Events{"cow write 2064+8", "cow flush", "cow write 10+6", "cow flush"}));
}

TEST_F(FlusherTest, a_chunk_that_is_durably_kept_is_not_copied_again) {
  take("cow");
  EXPECT_FALSE(write_origin(40));
  wave();
  EXPECT_FALSE(write_origin(40));
  EXPECT_EQ(std::exchange(events_, {}), Events{"origin write 40+8"}) << "not even held";
  EXPECT_EQ(wave(), Events{});
}

TEST_F(FlusherTest, a_flush_of_a_snapshot_makes_its_own_writes_durable) {
  auto& snapshot = take("cow");
  EXPECT_FALSE(write(*snapshot.view, 40));
  request(*snapshot.view);
  EXPECT_EQ(wave(), (Events{"cow write 16+8", "cow flush", "cow write 8+1", "cow flush", "done"}));
  EXPECT_FALSE(write(*snapshot.view, 40));
  request(*snapshot.view);
  EXPECT_EQ(wave(), (Events{"cow write 16+8", "cow flush", "done"})) << "no new exception: no area";
  request(*snapshot.view);
  EXPECT_EQ(wave(), Events{"done"});
}

TEST_F(FlusherTest, each_request_is_answered_once_by_the_next_wave_in_order) {
  auto& snapshot = take("cow");
  request(rig_.origin(), "first");
  request(*snapshot.view, "second");
  request(rig_.origin(), "third");
  EXPECT_TRUE(events_.empty()) << "not before the wave";
  EXPECT_EQ(wave(), (Events{"origin flush", "origin flush", "first", "second", "third"}));
  EXPECT_EQ(wave(), Events{});
}

TEST_F(FlusherTest, a_completion_may_use_the_views_and_the_flusher) {
  auto& snapshot = take("cow");
  EXPECT_FALSE(write_origin(40));
  rig_.flusher().request(rig_.origin(), [&](std::error_code error) {
    EXPECT_FALSE(error);
    EXPECT_FALSE(write_origin(80));
    EXPECT_FALSE(write(*snapshot.view, 120));
    EXPECT_FALSE(rig_.flusher().flush_and_wait(rig_.origin()));
    EXPECT_FALSE(rig_.origin().quiesced([] { return std::error_code(); }));
    EXPECT_EQ(rig_.origin().held_bytes(), 0U);
    request(*snapshot.view, "for the next wave");
  });
  wave();
  EXPECT_EQ(wave(), Events{"for the next wave"});
}

/// Each step of a wave, when it fails, costs the snapshot and is no error of the origin's flush.
struct Step {
  std::string name;
  void (*fail)(FaultyDevice& cow);
};
class FlusherStep : public FlusherTest, public testing::WithParamInterface<Step> {};

TEST_P(FlusherStep, that_fails_makes_the_snapshot_invalid_and_the_origin_goes_on) {
  auto& snapshot = take("cow");
  EXPECT_FALSE(write_origin(40));
  GetParam().fail(*cow_);
  request(rig_.origin());
  Events events = wave();
  events.erase(std::unique(events.begin(), events.end()), events.end());  // one flush more does no harm
  EXPECT_EQ(snapshot.view->state(), SnapshotState::invalid);
  EXPECT_FALSE(snapshot.view->reason().empty());
  EXPECT_FALSE(answer_);
  const auto header = std::ranges::find(events, "cow write 0+1");
  ASSERT_NE(header, events.end());
  EXPECT_EQ(Events(header, events.end()),
            (Events{"cow write 0+1", "cow flush", "origin write 40+8", "origin flush", "done"}))
      << "invalid on disk before the origin passes it";
  EXPECT_FALSE(write_origin(80));
  EXPECT_EQ(events_, Events{"origin write 80+8"}) << "nobody is waited for";
}

INSTANTIATE_TEST_SUITE_P(
    , FlusherStep,
    testing::Values(Step{"copy", [](FaultyDevice& cow) { cow.fail_writes({.sticky = false}); }},
                    Step{"flush_of_the_copies", [](FaultyDevice& cow) { cow.fail_flushes({.sticky = false}); }},
                    Step{"area", [](FaultyDevice& cow) { cow.fail_writes({.after = 1, .sticky = false}); }},
                    Step{"flush_of_the_area",
                         [](FaultyDevice& cow) { cow.fail_flushes({.after = 1, .sticky = false}); }}),
    [](const auto& of) { return of.param.name; });

TEST_F(FlusherTest, a_snapshot_that_cannot_even_be_invalidated_fails_the_origins_flushes_and_keeps_it_as_it_is) {
  take("cow");
  EXPECT_FALSE(write_origin(40));
  cow_->fail_flushes({});
  record_error_ = std::make_error_code(std::errc::io_error);
  request(rig_.origin());
  EXPECT_EQ(wave(), (Events{"cow write 16+8", "cow write 1+7", "cow write 0+1", "origin flush", "done failed"}));
  EXPECT_EQ(flush_origin(), Error::held_write_lost) << "and every later one";
}

TEST_F(FlusherTest, a_flush_that_fails_for_one_snapshot_leaves_the_other_and_the_origin) {
  auto& lost = take("lost");
  FaultyDevice* lost_cow = cow_;
  auto& kept = take("kept");
  EXPECT_FALSE(write_origin(40));
  lost_cow->fail_flushes({.sticky = false});
  EXPECT_FALSE(flush_origin());
  EXPECT_EQ(lost.view->status(), "Invalid");
  EXPECT_EQ(kept.view->status(), "24/1024 16");
}

}  // namespace
}  // namespace dmsnap::test
