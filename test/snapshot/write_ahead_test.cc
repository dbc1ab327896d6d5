// SPDX-License-Identifier: GPL-2.0-or-later
// Which COW chunks are written before they are handed out.
#include <gtest/gtest.h>

#include <algorithm>

#include "block/memory_device.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

constexpr std::uint64_t window = (1 << 20) / sector_bytes;

class AheadDevice final : public BlockDevice {
 public:
  AheadDevice(std::uint64_t sectors, std::vector<Extent>& ahead) : device_(sectors), ahead_(ahead) {}

  std::uint64_t sectors() const override { return device_.sectors(); }
  std::error_code read(Sector from, std::span<std::byte> to) override { return device_.read(from, to); }
  std::error_code write(Sector to, std::span<const std::byte> data) override { return device_.write(to, data); }
  std::error_code flush() override { return device_.flush(); }
  void write_ahead(Extent range) override { ahead_.push_back(range); }

 private:
  MemoryDevice device_;
  std::vector<Extent>& ahead_;
};

/// Chunks of 8 sectors: copies begin at sector 16 of the COW device.
class WriteAheadTest : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 4 * window;

  WriteAheadTest()
      : origin_(sectors),
        rig_(origin_, sectors * sector_bytes, std::size_t{4} << 20),
        snapshot_(rig_.add(std::make_unique<AheadDevice>(2 * sectors, ahead_), "P", {.chunk_sectors = 8})) {}

  void wave_of(std::uint64_t chunks) {
    const std::vector<std::byte> data(chunks * 8 * sector_bytes, std::byte{7});
    ASSERT_FALSE(*rig_.origin().write(next_, data, Wait::yes));
    next_ += chunks * 8;
    rig_.flusher().run_wave();
  }
  Sector handed_out() const { return Sector(snapshot_.store->usage().allocated); }

  std::vector<Extent> ahead_;
  MemoryDevice origin_;
  Rig rig_;
  RigSnapshot& snapshot_;
  Sector next_{};
};

TEST_F(WriteAheadTest, after_a_small_wave_what_is_handed_out_next_is_written) {
  wave_of(1);
  for (int i = 0; i < 100; ++i) {
    const auto covers = [&](const Extent& each) { return each.first <= handed_out() && handed_out() < each.end(); };
    ASSERT_TRUE(std::ranges::any_of(ahead_, covers)) << i;
    wave_of(1);
  }
  EXPECT_LE(ahead_.size(), 3U) << "many waves share one";
}

TEST_F(WriteAheadTest, what_is_handed_out_already_is_never_written_again) {
  Sector end{};
  for (int i = 0; i < 200; ++i) {
    const Sector before = handed_out();
    wave_of(1);
    for (const Extent& each : ahead_) {
      EXPECT_GE(each.first, before + 8);
      EXPECT_GE(each.first, end) << "written twice";
      end = each.end();
    }
    ahead_.clear();
  }
}

TEST_F(WriteAheadTest, a_large_wave_writes_nothing_ahead) {
  wave_of(window / 8);
  EXPECT_TRUE(ahead_.empty());
}

TEST_F(WriteAheadTest, what_was_given_back_is_written_again) {
  wave_of(1);
  ASSERT_FALSE(ahead_.empty());
  snapshot_.view->release_room();
  ahead_.clear();
  wave_of(1);
  EXPECT_FALSE(ahead_.empty());
}

}  // namespace
}  // namespace dmsnap::test
