// SPDX-License-Identifier: GPL-2.0-or-later
// Random operations on the engine over memory, against plain arrays of bytes. A failure prints the seed; run it again
// with DMSNAP_MODEL_SEED=<seed>. DMSNAP_MODEL_OPERATIONS sets how many operations are done (default 200 000),
// DMSNAP_MODEL_FIRST_SEED where the seeds begin (default 1, so that each run does the same).
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "dmsnap/error.h"
#include "support/environment.h"
#include "support/rig.h"
#include "support/shown_content.h"

namespace dmsnap::test {
namespace {

/// One life of an origin and its snapshots, and what each of them must show.
class Life {
 public:
  explicit Life(std::uint64_t seed) : random_(seed) {
    const std::uint64_t sectors = pick({1, 7, 64, 333, 2048, 5001, 8192});
    held_bytes_ = pick({16, 256, 1024}) << 10;
    device_ = std::make_unique<MemoryDevice>(sectors);
    origin_ = Bytes(sectors * sector_bytes);
    fill(origin_);
    EXPECT_FALSE(device_->write(Sector(0), origin_));
    open_origin();
  }

  void operation() {
    switch (below(29)) {
      case 26: return resize();
      case 27: return write_refused(nullptr);
      case 28: return taken_.empty() ? read() : write_refused(&any());
      case 21: return merge();
      case 22: return merge_some();
      case 23: return zero_origin();
      case 24: return zero_snapshot();
      case 25: return check_holes();
      case 0: return create();
      case 1: return below(4) ? close_or_reopen() : reopen_all();
      case 20: return below(4) ? read() : remove();
      case 2: return flush();
      case 3: return rig_->flusher().run_wave();
      case 4:
      case 5:
      case 6:
      case 7:
      case 8:
      case 9: return write_origin();
      case 10:
      case 11:
      case 12:
      case 13: return write_snapshot();
      default: return read();
    }
  }

  void check_all() {
    expect_content(rig_->origin_file(), origin_, {0, origin_.size()});
    for (auto& one : taken_) {
      if (one.open->view->state() == SnapshotState::invalid) continue;
      expect_content(*one.open->file, one.content, {0, one.content.size()});
    }
  }

 private:
  struct Taken {
    RigSnapshot* open;
    Bytes content;
    std::string type;
    bool limited;  // its COW device may become full, or that of one it fell through to
    Taken* base;   // null: the origin

    bool invalid() const { return open->view->state() == SnapshotState::invalid; }
  };

  std::uint64_t below(std::uint64_t n) { return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random_); }
  std::uint64_t pick(std::initializer_list<std::uint64_t> of) { return of.begin()[below(of.size())]; }
  void fill(std::span<std::byte> bytes) {
    const auto start = static_cast<unsigned>(random_());
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>((start + i * 31 + i / 256) & 0xff);
  }

  Range range() {
    const std::uint64_t size = origin_.size();
    const std::uint64_t most = std::min<std::uint64_t>(size, pick({1, 512, 4096, 40000, 300000}));
    const std::uint64_t unit = below(3) ? sector_bytes : 1;
    const std::uint64_t offset = below(size) / unit * unit;
    const std::uint64_t length = std::min((below(most) / unit + 1) * unit, size - offset);
    return {offset, length};
  }

  void open_origin() {
    rig_.reset();
    rig_ = std::make_unique<Rig>(*device_, origin_.size(), held_bytes_);
  }

  bool has_dependants(const Taken& one) const {
    return std::ranges::any_of(taken_, [&](const Taken& each) { return each.base == &one; });
  }
  Taken& any() { return *std::next(taken_.begin(), static_cast<std::ptrdiff_t>(below(taken_.size()))); }
  View* view_of(const Taken* one) { return one ? static_cast<View*>(one->open->view.get()) : &rig_->origin(); }

  void create() {
    if (taken_.size() >= 6) return;
    Taken* base = taken_.empty() || below(2) ? nullptr : &any();
    if (!base && merging_) return;
    if (base && base->invalid()) return;
    const std::string type = base && base->type == "N" ? "N" : std::array{"P", "PO", "N"}[below(3)];
    const auto chunk = static_cast<std::uint32_t>(1U << below(12));
    const std::uint64_t chunks = (origin_.size() / sector_bytes + chunk - 1) / chunk;
    const bool limited = below(4) == 0;
    const std::uint64_t cow_chunks = limited ? 3 + below(chunks + 1) : 3 + chunks + chunks / (chunk * 32ULL);
    auto cow = std::make_unique<MemoryDevice>(cow_chunks * chunk);
    if (!base && type != "N" && below(2)) {
      auto& opened = rig_->add_chained(std::move(cow), type, {.chunk_sectors = chunk});
      auto& added = taken_.emplace_back(Taken{&opened, origin_, type, limited, nullptr});
      for (Taken& each : taken_) {
        if (&each == &added) continue;
        each.limited |= limited;
        if (!each.base) each.base = &added;
      }
      return;
    }
    auto& opened = rig_->add(std::move(cow), type, {.chunk_sectors = chunk}, {}, view_of(base));
    taken_.push_back({&opened, base ? base->content : origin_, type, limited || (base && base->limited), base});
  }

  /// What falls through to it shows the same without it.
  void remove() {
    if (taken_.empty()) return;
    Taken& one = any();
    const bool has_room = std::ranges::none_of(taken_, &Taken::limited);
    if (!rig_->remove(*one.open)) {
      EXPECT_FALSE(has_room) << "nobody's COW device is too small";
      return check_all();
    }
    for (Taken& each : taken_) {
      if (each.base == &one) each.base = one.base;
    }
    taken_.remove_if([&](const Taken& each) { return &each == &one; });
    check_all();
  }

  /// From now on the origin is what the snapshot is.
  void merge() {
    if (taken_.empty() || merging_) return;
    const Taken& one = any();
    if (one.base || one.invalid() || one.type == "N" || has_dependants(one)) return;
    rig_->begin_merge(*one.open, merge_options());
    merging_ = one.open;
    origin_ = one.content;
    taken_.remove_if([&](const Taken& each) { return &each == &one; });
    expect_content(rig_->origin_file(), origin_, {0, origin_.size()});
  }
  Merge::Options merge_options() { return {.batch_bytes = pick({1, 4096, 1 << 20})}; }

  void merge_some() {
    if (!merging_) return;
    const auto copied = rig_->merge().step(pick({1, 4096, 1 << 20}));
    ASSERT_TRUE(copied);
    if (*copied > 0) return;
    rig_->origin().end_merge();
    static_cast<void>(rig_->close(*std::exchange(merging_, nullptr)));
    check_all();
  }

  void close_or_reopen() {
    if (taken_.empty()) return;
    Taken& which = any();
    // What falls through to an invalid one that lost what it held is not attached to it again.
    if (has_dependants(which) || (which.base && which.base->invalid())) return;
    const bool invalid = which.invalid();
    auto cow = rig_->close(*which.open);
    if (which.type == "N" || below(3) == 0) {
      taken_.remove_if([&](const Taken& each) { return &each == &which; });
      return;
    }
    // Its base must not be written in between, as with a set that is closed as a whole.
    which.open = &rig_->add(std::move(cow), which.type, {.must_exist = true}, {}, view_of(which.base));
    EXPECT_EQ(invalid, which.invalid());
  }

  /// Each behind what it falls through to.
  std::vector<Taken*> bases_first() {
    std::vector<Taken*> ordered{nullptr};
    for (std::size_t at = 0; at < ordered.size(); ++at) {
      for (Taken& each : taken_) {
        if (each.base == ordered[at]) ordered.push_back(&each);
      }
    }
    ordered.erase(ordered.begin());
    return ordered;
  }

  /// An unmount and the next mount.
  void reopen_all() {
    std::vector<Taken*> ordered = bases_first();
    std::map<Taken*, bool> invalid;
    std::map<Taken*, std::unique_ptr<BlockDevice>> cows;
    for (auto one = ordered.rbegin(); one != ordered.rend(); ++one) {
      invalid[*one] = (*one)->invalid();
      cows[*one] = rig_->close(*(*one)->open);
    }
    std::erase_if(ordered, [](const Taken* one) { return one->type == "N"; });
    taken_.remove_if([](const Taken& one) { return one.type == "N"; });
    EXPECT_FALSE(rig_->flush(rig_->origin_file()));
    auto merging_cow = interrupt_merge();
    open_origin();
    if (merging_cow) merging_ = &rig_->resume_merge(std::move(*merging_cow), "P", merge_options());
    for (Taken* one : ordered) {
      one->open = &rig_->add(std::move(cows[one]), one->type, {.must_exist = true}, {}, view_of(one->base));
      EXPECT_EQ(invalid[one], one->invalid());
    }
    check_all();
  }

  std::optional<std::unique_ptr<BlockDevice>> interrupt_merge() {
    if (!merging_) return std::nullopt;
    rig_->origin().end_merge();
    return rig_->close(*std::exchange(merging_, nullptr));
  }

  void flush() {
    EXPECT_FALSE(rig_->flush(rig_->origin_file()));
    EXPECT_EQ(rig_->origin().held_bytes(), 0U);
    for (auto& one : taken_) {
      // Invalid, it may have lost what it held.
      EXPECT_TRUE(!rig_->flush(*one.open->file) || one.invalid());
      EXPECT_EQ(one.open->view->held_bytes(), 0U);
    }
  }

  void write_origin() {
    const Range at = range();
    Bytes data(at.size);
    fill(data);
    ASSERT_FALSE(rig_->write(rig_->origin_file(), at.offset, data));
    std::ranges::copy(data, origin_.begin() + static_cast<std::ptrdiff_t>(at.offset));
  }

  std::vector<SnapshotState> states() const {
    std::vector<SnapshotState> all;
    for (const Taken& each : taken_) all.push_back(each.open->view->state());
    return all;
  }

  /// Where there is no room the writer is told, and no snapshot is given up for it.
  void write_refused(Taken* one) {
    const Range at = range();
    Bytes data(at.size);
    fill(data);
    const auto before = states();
    ViewFile::Options options{
        .id = 16, .size_bytes = origin_.size(), .allocated_bytes = [] { return std::uint64_t{0}; }};
    options.without_room = WithoutRoom::refuse;
    ViewFile file(*view_of(one), rig_->flusher(), std::move(options));
    const std::error_code error = rig_->write(file, at.offset, data);
    Bytes& content = one ? one->content : origin_;
    const auto begin = content.begin() + static_cast<std::ptrdiff_t>(at.offset);
    if (!error) {
      std::ranges::copy(data, begin);
    } else if (error == std::errc::no_space_on_device) {
      EXPECT_TRUE(std::ranges::any_of(taken_, &Taken::limited)) << "everybody had room for every chunk";
      Bytes got(at.size);
      EXPECT_FALSE(file.read(at.offset, got));
      for (std::ptrdiff_t i = 0; i < std::ssize(got); ++i) {
        EXPECT_TRUE(got.begin()[i] == begin[i] || got.begin()[i] == data.begin()[i]);
      }
      std::ranges::copy(got, begin);
    } else {
      EXPECT_TRUE(one && one->open->view->state() != SnapshotState::active) << error;
    }
    // Waves between attempts may have come to what was promised before, with room.
    EXPECT_EQ(states(), before);
  }

  /// Of a COW device; what does not fit is refused.
  void resize() {
    if (taken_.empty()) return;
    Taken& one = any();
    if (one.invalid()) return;
    const auto chunk = one.open->store->geometry().chunk_sectors();
    const std::uint64_t chunks = 3 + below(2 * origin_.size() / (chunk * sector_bytes) + 4);
    const std::uint64_t before = one.open->cow->sectors();
    const std::error_code error = one.open->view->resize_cow(chunks * chunk);
    EXPECT_TRUE(!error || (error == Error::store_full && chunks * chunk < before)) << error;
    EXPECT_EQ(one.open->cow->sectors(), error ? before : chunks * chunk);
    if (error) return;
    one.open->view->end_overflow();
    for (Taken& each : taken_) {
      // What falls through to it goes with it.
      for (const Taken* below_it = &each; below_it; below_it = below_it->base) each.limited |= below_it == &one;
    }
    expect_content(*one.open->file, one.content, {0, one.content.size()});
  }

  void write_snapshot() {
    if (taken_.empty()) return;
    Taken& one = any();
    const Range at = range();
    Bytes data(at.size);
    fill(data);
    const std::error_code error = rig_->write(*one.open->file, at.offset, data);
    if (error) {
      // A refused write may have been done in part: look at what is there.
      EXPECT_NE(one.open->view->state(), SnapshotState::active);
      EXPECT_TRUE(one.limited) << "it had room for every chunk";
      const std::span part(one.content.data() + at.offset, at.size);
      if (one.open->view->state() == SnapshotState::overflowed) {
        EXPECT_FALSE(one.open->file->read(at.offset, part));
      }
    } else {
      std::ranges::copy(data, one.content.begin() + static_cast<std::ptrdiff_t>(at.offset));
    }
  }

  static bool in_sectors(Range at) { return at.offset % sector_bytes == 0 && at.size % sector_bytes == 0; }
  /// Parts of sectors are written, and who has to wait for room would wait for ever where waves are run by hand.
  std::error_code zero(ViewFile& file, Range at) {
    if (!in_sectors(at)) rig_->flusher().run_wave();
    return file.zero(at.offset, at.size);
  }

  void zero_origin() {
    const Range at = range();
    ASSERT_FALSE(zero(rig_->origin_file(), at));
    std::fill_n(origin_.begin() + static_cast<std::ptrdiff_t>(at.offset), at.size, std::byte{0});
    expect_content(rig_->origin_file(), origin_, at);
  }

  void zero_snapshot() {
    if (taken_.empty()) return;
    Taken& one = any();
    const Range at = range();
    const SnapshotState before = one.open->view->state();
    const std::error_code error = zero(*one.open->file, at);
    const std::span part(one.content.data() + at.offset, at.size);
    if (!error) {
      std::ranges::fill(part, std::byte{0});
      return expect_content(*one.open->file, one.content, at);
    }
    EXPECT_TRUE(one.limited) << "it had room for every chunk";
    EXPECT_TRUE(before != SnapshotState::active || error == std::errc::no_space_on_device || !in_sectors(at)) << error;
    // Some of it may have been zeroed.
    if (!one.invalid()) {
      EXPECT_FALSE(one.open->file->read(at.offset, part));
    }
  }

  void check_holes() {
    if (taken_.empty() || below(2)) return expect_zeros_in_holes(rig_->origin_file(), origin_);
    Taken& one = any();
    if (!one.invalid()) expect_zeros_in_holes(*one.open->file, one.content);
  }

  void read() {
    const Range at = range();
    const std::uint64_t which = below(taken_.size() + 1);
    if (which == taken_.size()) return expect_content(rig_->origin_file(), origin_, at);
    Taken& one = *std::next(taken_.begin(), static_cast<std::ptrdiff_t>(which));
    if (one.open->view->state() != SnapshotState::invalid) return expect_content(*one.open->file, one.content, at);
    EXPECT_TRUE(one.limited) << one.open->view->reason();
    Bytes got(at.size);
    EXPECT_TRUE(one.open->file->read(at.offset, got));
  }

  std::mt19937_64 random_;
  std::unique_ptr<MemoryDevice> device_;
  std::uint64_t held_bytes_ = 0;
  Bytes origin_;
  std::unique_ptr<Rig> rig_;
  std::list<Taken> taken_;
  RigSnapshot* merging_ = nullptr;  // the origin is rolled back to it
};

TEST(Model, every_view_shows_what_plain_arrays_show) {
  const std::uint64_t operations = from_environment("DMSNAP_MODEL_OPERATIONS", 200'000);
  constexpr std::uint64_t per_life = 500;
  const std::uint64_t only = from_environment("DMSNAP_MODEL_SEED", 0);
  const std::uint64_t first = only ? only : from_environment("DMSNAP_MODEL_FIRST_SEED", 1);
  const std::uint64_t lives = only ? 1 : std::max<std::uint64_t>(operations / per_life, 1);
  std::cout << "seeds " << first << " to " << first + lives - 1 << std::endl;
  for (std::uint64_t seed = first; seed < first + lives; ++seed) {
    SCOPED_TRACE(testing::Message() << "DMSNAP_MODEL_SEED=" << seed);
    Life life(seed);
    for (std::uint64_t i = 0; i < per_life && !HasFailure(); ++i) life.operation();
    life.check_all();
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace dmsnap::test
