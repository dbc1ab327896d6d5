// SPDX-License-Identifier: GPL-2.0-or-later
// Many threads on one engine with its flush thread. Every sector says what it is, so a wrong one is recognised where it
// is read; run under ThreadSanitizer too.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <latch>
#include <random>
#include <thread>

#include "support/rig.h"

namespace dmsnap::test {
namespace {

/// The content of a sector: its number, and how often it was written.
std::array<std::byte, sector_bytes> stamped(std::uint64_t sector, std::uint64_t generation) {
  std::array<std::byte, sector_bytes> bytes{};
  for (std::size_t at = 0; at < sector_bytes; at += 16) {
    std::memcpy(bytes.data() + at, &sector, 8);
    std::memcpy(bytes.data() + at + 8, &generation, 8);
  }
  return bytes;
}

std::uint64_t generation_of(std::span<const std::byte> bytes, std::uint64_t sector) {
  std::uint64_t number = 0;
  std::uint64_t generation = 0;
  std::memcpy(&number, bytes.data(), 8);
  std::memcpy(&generation, bytes.data() + 8, 8);
  EXPECT_EQ(number, sector);
  return generation;
}

class Threads : public testing::Test {
 protected:
  static constexpr std::uint64_t sectors = 4096;

  Threads() : device_(sectors), rig_(device_, sectors * sector_bytes, 128 << 10, Rig::Waves::thread) {
    for (std::uint64_t s = 0; s < sectors; ++s) EXPECT_FALSE(device_.write(Sector(s), stamped(s, 0)));
    for (const std::uint32_t chunk : {1U, 8U, 64U}) {
      rig_.add(std::make_unique<MemoryDevice>(sectors * 2 + 1000 * chunk), "P", {.chunk_sectors = chunk});
    }
  }

  MemoryDevice device_;
  Rig rig_;
};

TEST_F(Threads, snapshots_stay_as_they_were_while_everything_is_written) {
  constexpr int writers = 4;
  constexpr std::uint64_t rounds = 1500;
  std::atomic<bool> writing = true;
  std::latch written(writers);
  std::vector<std::jthread> threads;
  // Each writer owns every fourth group of 16 sectors, so the generations of a sector only grow.
  for (int writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&, writer] {
      std::mt19937_64 random(static_cast<unsigned>(writer));
      std::vector<std::uint64_t> latest(sectors);
      for (std::uint64_t round = 1; round <= rounds; ++round) {
        const std::uint64_t group = random() % (sectors / 64) * 4 + static_cast<unsigned>(writer);
        const std::uint64_t first = group * 16 + random() % 8;
        const std::uint64_t count = random() % 8 + 1;
        std::vector<std::byte> data;
        for (std::uint64_t s = first; s < first + count; ++s) {
          const auto bytes = stamped(s, latest[s] = round);
          data.insert(data.end(), bytes.begin(), bytes.end());
        }
        EXPECT_FALSE(rig_.origin_file().write(first * sector_bytes, data));
        std::vector<std::byte> back(data.size());
        EXPECT_FALSE(rig_.origin_file().read(first * sector_bytes, back));
        EXPECT_EQ(back, data) << "what was acknowledged is read at once";
        if (round % 200 == 0) {
          EXPECT_FALSE(rig_.flusher().flush_and_wait(rig_.origin()));
        }
      }
      written.count_down();
    });
  }
  // The third snapshot is written too, by one thread, each sector once.
  threads.emplace_back([&] {
    ViewFile& third = *rig_.snapshots().back().file;
    for (std::uint64_t s = 0; s < sectors; s += 5) {
      EXPECT_FALSE(third.write(s * sector_bytes, stamped(s, 77)));
    }
  });
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&, reader] {
      std::mt19937_64 random(100U + static_cast<unsigned>(reader));
      std::array<std::byte, sector_bytes * 8> bytes;
      while (writing) {
        auto which = rig_.snapshots().begin();
        std::advance(which, static_cast<std::ptrdiff_t>(random() % 3));
        const bool is_third = &*which == &rig_.snapshots().back();
        const std::uint64_t first = random() % (sectors - 8);
        EXPECT_FALSE(which->file->read(first * sector_bytes, bytes));
        for (std::uint64_t s = first; s < first + 8; ++s) {
          const auto got = generation_of(std::span(bytes).subspan((s - first) * sector_bytes, sector_bytes), s);
          EXPECT_TRUE(got == 0 || (is_third && got == 77)) << "sector " << s << " shows generation " << got;
        }
      }
    });
  }
  written.wait();
  writing = false;
  threads.clear();
  EXPECT_FALSE(rig_.flusher().flush_and_wait(rig_.origin()));
  EXPECT_EQ(rig_.origin().held_bytes(), 0U);
  for (auto& snapshot : rig_.snapshots()) EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
}

TEST_F(Threads, what_is_zeroed_under_load_reads_as_zeros_and_is_no_hole_in_a_snapshot) {
  constexpr std::uint64_t writers = 3;
  std::atomic<bool> writing = true;
  std::latch written(writers);
  std::vector<std::jthread> threads;
  for (std::uint64_t writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&, writer] {
      std::mt19937_64 random(writer);
      for (std::uint64_t round = 1; round <= 1000; ++round) {
        // Each writer owns every third group of 32 sectors.
        const std::uint64_t first = (random() % 42 * 3 + writer) * 32 + random() % 24;
        std::vector<std::byte> wanted((random() % 8 + 1) * sector_bytes);
        if (random() % 2) {
          EXPECT_FALSE(rig_.origin_file().zero(first * sector_bytes, wanted.size()));
        } else {
          std::ranges::fill(wanted, static_cast<std::byte>(round));
          EXPECT_FALSE(rig_.origin_file().write(first * sector_bytes, wanted));
        }
        std::vector<std::byte> back(wanted.size());
        EXPECT_FALSE(rig_.origin_file().read(first * sector_bytes, back));
        EXPECT_EQ(back, wanted);
      }
      written.count_down();
    });
  }
  threads.emplace_back([&] {
    ViewFile& third = *rig_.snapshots().back().file;
    for (std::uint64_t s = 0; s < sectors; s += 64) EXPECT_FALSE(third.zero(s * sector_bytes, 16 * sector_bytes));
  });
  threads.emplace_back([&] {
    std::mt19937_64 random(100);
    std::array<std::byte, sector_bytes * 8> bytes;
    while (writing) {
      ViewFile& file = random() % 2 ? *rig_.snapshots().front().file : *std::next(rig_.snapshots().begin())->file;
      const std::uint64_t first = random() % (sectors - 8);
      const auto hole = file.next_hole(first * sector_bytes);
      EXPECT_TRUE(hole && *hole == file.size()) << "a wrong hole at " << hole.value_or(0);
      EXPECT_FALSE(file.read(first * sector_bytes, bytes));
      for (std::uint64_t s = first; s < first + 8; ++s) {
        EXPECT_EQ(generation_of(std::span(bytes).subspan((s - first) * sector_bytes, sector_bytes), s), 0U);
      }
      EXPECT_TRUE(rig_.origin_file().next_data(first * sector_bytes));
    }
  });
  written.wait();
  writing = false;
  threads.clear();
  EXPECT_FALSE(rig_.flusher().flush_and_wait(rig_.origin()));
  for (auto& snapshot : rig_.snapshots()) EXPECT_EQ(snapshot.view->state(), SnapshotState::active);
}

TEST_F(Threads, each_flush_is_answered_once) {
  constexpr int requests = 200;
  std::atomic<int> answers = 0;
  std::latch all(requests * 2);
  for (int i = 0; i < requests; ++i) {
    const auto bytes = stamped(static_cast<std::uint64_t>(i), 1);
    EXPECT_FALSE(rig_.origin_file().write(static_cast<std::uint64_t>(i) * sector_bytes, bytes));
    for (ViewFile* file : {&rig_.origin_file(), rig_.snapshots().front().file.get()}) {
      file->flush([&](std::error_code error) {
        EXPECT_FALSE(error);
        ++answers;
        all.count_down();
      });
    }
  }
  all.wait();
  EXPECT_EQ(answers, requests * 2);
}

TEST_F(Threads, a_snapshot_taken_under_load_is_one_instant) {
  // The writer writes the same generation to two far sectors, one after the other: a snapshot may see the first without
  // the second, but never the second without the first.
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    for (std::uint64_t generation = 1; !stop; ++generation) {
      EXPECT_FALSE(rig_.origin_file().write(10 * sector_bytes, stamped(10, generation)));
      EXPECT_FALSE(rig_.origin_file().write(4000 * sector_bytes, stamped(4000, generation)));
    }
  });
  for (int i = 0; i < 20; ++i) {
    auto& taken = rig_.add(std::make_unique<MemoryDevice>(sectors * 2), "P", {.chunk_sectors = 8});
    std::array<std::byte, sector_bytes> first;
    std::array<std::byte, sector_bytes> second;
    for (int again = 0; again < 3; ++again) {
      EXPECT_FALSE(taken.file->read(10 * sector_bytes, first));
      EXPECT_FALSE(taken.file->read(4000 * sector_bytes, second));
      const std::uint64_t one = generation_of(first, 10);
      const std::uint64_t two = generation_of(second, 4000);
      EXPECT_TRUE(one == two || one == two + 1) << one << " and " << two;
    }
    rig_.close(taken);
  }
  stop = true;
}

TEST_F(Threads, a_chain_that_grows_and_loses_links_under_load_shows_what_it_showed) {
  std::atomic<bool> stop = false;
  std::vector<std::jthread> writers;
  for (std::uint64_t writer = 0; writer < 2; ++writer) {
    writers.emplace_back([&, writer] {
      std::mt19937_64 random(writer);
      for (std::uint64_t generation = 1; !stop; ++generation) {
        const std::uint64_t sector = random() % (sectors / 2) * 2 + writer;
        EXPECT_FALSE(rig_.origin_file().write(sector * sector_bytes, stamped(sector, generation)));
      }
    });
  }
  using Bytes = std::vector<std::byte>;
  const auto content = [](RigSnapshot& snapshot) {
    Bytes bytes(sectors * sector_bytes);
    EXPECT_FALSE(snapshot.file->read(0, bytes));
    return bytes;
  };
  std::mt19937_64 random(7);
  std::vector<std::pair<RigSnapshot*, Bytes>> taken;
  for (int round = 0; round < 40; ++round) {
    if (taken.size() < 5) {
      auto& added = rig_.add_chained(std::make_unique<MemoryDevice>(sectors * 3), "P", {.chunk_sectors = 8});
      taken.emplace_back(&added, content(added));
    } else {
      const auto gone = taken.begin() + static_cast<std::ptrdiff_t>(random() % taken.size());
      EXPECT_TRUE(rig_.remove(*gone->first));
      taken.erase(gone);
    }
    for (const auto& [snapshot, bytes] : taken) EXPECT_EQ(content(*snapshot), bytes);
  }
  stop = true;
}

TEST_F(Threads, an_origin_that_is_rolled_back_under_load_loses_no_write_and_shows_no_old_one) {
  using Generations = std::vector<std::uint64_t>;
  Generations content(sectors, 0);
  const auto write = [&](std::uint64_t sector, std::uint64_t generation) {
    EXPECT_FALSE(rig_.origin_file().write(sector * sector_bytes, stamped(sector, generation)));
  };
  const auto shown = [](ViewFile& file, std::uint64_t sector) {
    std::array<std::byte, sector_bytes> bytes;
    EXPECT_FALSE(file.read(sector * sector_bytes, bytes));
    return generation_of(bytes, sector);
  };
  for (std::uint64_t round = 1; round <= 6; ++round) {
    auto& old = rig_.add(std::make_unique<MemoryDevice>(sectors * 3), "P", {.chunk_sectors = 4});
    for (std::uint64_t s = round; s < sectors; s += 3) write(s, 1000 * round);
    auto& merge = rig_.begin_merge(old, {.batch_bytes = 16 << 10});
    std::vector<std::jthread> writers;
    for (std::uint64_t writer = 0; writer < 3; ++writer) {
      writers.emplace_back([&, writer] {
        std::mt19937_64 random(round * 10 + writer);
        for (std::uint64_t i = 1; i <= 300; ++i) {
          const std::uint64_t sector = random() % (sectors / 3) * 3 + writer;
          EXPECT_EQ(shown(rig_.origin_file(), sector), content[sector]);
          write(sector, content[sector] = 1000 * round + i);
          EXPECT_EQ(shown(rig_.origin_file(), sector), content[sector]);
        }
      });
    }
    for (auto done = merge.step(~std::uint64_t{0}); *done > 0; done = merge.step(~std::uint64_t{0})) {
    }
    rig_.origin().end_merge();
    writers.clear();
    rig_.close(old);
    for (std::uint64_t s = 0; s < sectors; ++s) ASSERT_EQ(shown(rig_.origin_file(), s), content[s]) << "sector " << s;
  }
  for (auto& snapshot : rig_.snapshots()) {
    for (std::uint64_t s = 0; s < sectors; ++s) ASSERT_EQ(shown(*snapshot.file, s), 0U) << "sector " << s;
  }
}

}  // namespace
}  // namespace dmsnap::test
