// SPDX-License-Identifier: GPL-2.0-or-later
// Power cuts and kills at any write and any flush, on the real store and engine over devices that know what could be
// left of them. After each, what is found is opened as after a restart and must be right (src/README.md, invariants).
// A failure prints the seed: DMSNAP_CRASH_SEED=<seed> repeats it. DMSNAP_CRASHES sets how many (default 20 000).
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <list>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "support/crashing_device.h"
#include "support/environment.h"
#include "support/rig.h"

namespace dmsnap::test {
namespace {

/// Stands for a write of zeros.
constexpr std::uint64_t zeroed = ~std::uint64_t{0};

/// The content of a sector: which it is, and which write wrote it.
CrashingDevice::Sector512 stamp(std::uint64_t sector, std::uint64_t write) {
  CrashingDevice::Sector512 bytes{};
  if (write == zeroed) return bytes;
  for (std::size_t at = 0; at < sector_bytes; at += 16) {
    std::memcpy(bytes.data() + at, &sector, 8);
    std::memcpy(bytes.data() + at + 8, &write, 8);
  }
  return bytes;
}

/// What a view may show of each sector after a power cut: the write that was flushed last, and those issued since.
class Allowed {
 public:
  explicit Allowed(std::vector<std::uint64_t> content) {
    for (const std::uint64_t write : content) sectors_.push_back({write});
  }
  void issued(std::uint64_t sector, std::uint64_t write) { sectors_[sector].push_back(write); }
  void flushed() {
    for (auto& writes : sectors_) writes = {writes.back()};
  }
  std::vector<std::uint64_t> latest() const {
    std::vector<std::uint64_t> all;
    for (const auto& writes : sectors_) all.push_back(writes.back());
    return all;
  }
  void check(ViewFile& file, const char* what) const {
    std::vector<std::byte> bytes(sectors_.size() * sector_bytes);
    ASSERT_FALSE(file.read(0, bytes)) << what;
    for (std::uint64_t sector = 0; sector < sectors_.size(); ++sector) {
      const auto& writes = sectors_[sector];
      const auto matches = [&](std::uint64_t write) {
        return std::memcmp(bytes.data() + sector * sector_bytes, stamp(sector, write).data(), sector_bytes) == 0;
      };
      std::uint64_t write = 0;
      std::memcpy(&write, bytes.data() + sector * sector_bytes + 8, 8);
      ASSERT_TRUE(std::ranges::any_of(writes, matches))
          << what << ": sector " << sector << " shows write " << write << "; flushed was " << writes.front();
    }
  }

 private:
  std::vector<std::vector<std::uint64_t>> sectors_;
};

/// A run of random writes, flushes and snapshots, which is cut at random moments and goes on.
class CutRun {
 public:
  explicit CutRun(std::uint64_t seed) : random_(seed) {
    const std::uint64_t sectors = 40 + random_() % 300;
    origin_ = std::make_unique<CrashingDevice>(sectors);
    for (std::uint64_t s = 0; s < sectors; ++s) EXPECT_FALSE(origin_->write(Sector(s), stamp(s, 0)));
    EXPECT_FALSE(origin_->flush());
    origin_allowed_ = std::make_unique<Allowed>(std::vector<std::uint64_t>(sectors, 0));
    rig_ = std::make_unique<Rig>(*origin_, sectors * sector_bytes, 32 << 10);
    origin_->moment = [this] { maybe_cut(); };
    create();
  }

  ~CutRun() { cutting_ = true; }  // taking the engine down is no part of the run
  CutRun(const CutRun&) = delete;
  CutRun& operator=(const CutRun&) = delete;

  std::uint64_t cuts() const { return cuts_; }

  void operation() {
    switch (random_() % 18) {
      case 13: return merge();
      case 14: return merge_some();
      case 15: return zero(rig_->origin_file(), *origin_allowed_);
      case 16: return zero_snapshot();
      case 0: return flush(rig_->origin_file(), *origin_allowed_);
      case 1: return rig_->flusher().run_wave();
      case 2: return taken_.size() < 4 ? create() : flush_snapshot();
      case 12: return random_() % 4 ? flush_snapshot() : remove();
      case 3:
      case 4:
      case 5: return write_snapshot();
      default: return write(rig_->origin_file(), *origin_allowed_);
    }
  }

 private:
  struct Taken {
    CrashingDevice* cow;
    RigSnapshot* open;
    std::unique_ptr<Allowed> allowed;
    std::string type;
    bool may_be_full;  // its COW device, or that of one it fell through to
    Taken* base;       // null: the origin
  };

  void maybe_cut() {
    if (cutting_ || random_() % 4 != 0) return;
    cutting_ = true;
    for (const auto cut : {CrashingDevice::Cut::kill, CrashingDevice::Cut::least, CrashingDevice::Cut::any}) {
      verify_after(cut);
      ++cuts_;
    }
    cutting_ = false;
  }

  void verify_after(CrashingDevice::Cut cut) {
    // One device may be far behind the other: nothing orders two files.
    const auto other = random_() % 2 ? cut : CrashingDevice::Cut::kill;
    const auto origin = origin_->after(random_() % 2 ? cut : other, random_);
    Rig again(*origin, origin->sectors() * sector_bytes);
    if (merging_) again.resume_merge(merging_cow_->after(cut, random_), "P");
    origin_allowed_->check(again.origin_file(), "origin");
    verify_above(nullptr, again, again.origin(), [&] { return random_() % 2 ? cut : other; });
  }

  void verify_above(const Taken* base, Rig& again, View& below, const std::function<CrashingDevice::Cut()>& cut) {
    for (const Taken& one : taken_) {
      if (one.base != base) continue;
      auto& opened = again.add(one.cow->after(cut(), random_), one.type, {.must_exist = true}, {}, &below);
      if (opened.view->state() == SnapshotState::invalid) {
        EXPECT_TRUE(one.may_be_full) << "invalid without a reason";
      } else {
        const auto* snapshot = dynamic_cast<const Snapshot*>(&below);
        EXPECT_FALSE(snapshot && snapshot->state() == SnapshotState::invalid) << "what it falls through to is invalid";
        one.allowed->check(*opened.file, "snapshot");
      }
      verify_above(&one, again, *opened.view, cut);
    }
  }

  /// A store that is cut off while it is made is blank or empty: it never takes old bytes for exceptions.
  void verify_half_made(const CrashingDevice& cow, const std::string& type, std::uint32_t chunk) {
    for (const auto cut : {CrashingDevice::Cut::least, CrashingDevice::Cut::any}) {
      MemoryDevice origin(origin_->sectors());
      Rig again(origin, origin.sectors() * sector_bytes);
      const auto& opened = again.add(cow.after(cut, random_), type, {.chunk_sectors = chunk});
      EXPECT_EQ(opened.store->usage().allocated, 2 * chunk);
      ++cuts_;
    }
  }

  void create() {
    const auto chunk = static_cast<std::uint32_t>(1U << random_() % 5);
    const std::uint64_t chunks = (origin_->sectors() + chunk - 1) / chunk;
    const bool small = random_() % 4 == 0;
    const std::uint64_t cow_chunks = small ? 3 + random_() % (chunks + 1) : 3 + chunks + chunks / (chunk * 32ULL);
    auto device = std::make_unique<CrashingDevice>(cow_chunks * chunk);
    // An old store's bytes in a new one's place.
    std::vector<std::byte> garbage(sector_bytes, std::byte{1});
    for (std::uint64_t s = 1; s < device->sectors(); ++s) EXPECT_FALSE(device->write(Sector(s), garbage));
    EXPECT_FALSE(device->flush());
    auto* cow = device.get();
    const std::string type = random_() % 2 ? "P" : "PO";
    cow->moment = [this, cow, &type, chunk] { verify_half_made(*cow, type, chunk); };
    Taken* base = taken_.empty() || random_() % 2 ? nullptr : &any();
    if (base && (base->may_be_full || base->open->view->state() != SnapshotState::active)) base = nullptr;
    if (!base && merging_) return;
    const bool chained = !base && random_() % 2;
    auto& opened = chained ? rig_->add_chained(std::move(device), type, {.chunk_sectors = chunk})
                           : rig_->add(std::move(device), type, {.chunk_sectors = chunk}, {},
                                       base ? base->open->view.get() : nullptr);
    // What the snapshot shows is what its base had when it was taken, and that is durable.
    Allowed& below = base ? *base->allowed : *origin_allowed_;
    below.flushed();
    auto& added =
        taken_.emplace_back(Taken{cow, &opened, std::make_unique<Allowed>(below.latest()), type, small, base});
    for (Taken& each : taken_) {
      if (!chained || &each == &added) continue;
      each.may_be_full |= small;
      if (!each.base) each.base = &added;
    }
    cow->moment = [this] { maybe_cut(); };
  }

  void remove() {
    if (taken_.empty()) return;
    Taken& gone = any();
    gone.cow->moment = [this] { maybe_cut(); };
    HandingOn handing(*gone.open->view, rig_->flusher());
    if (handing.take_room()) return;
    for (auto whole = handing.copy_some(); !whole || !*whole; whole = handing.copy_some()) {
      if (!whole) return;
    }
    if (handing.finish()) return;
    // The list of the set says so, durably, before they are let go.
    for (Taken& each : taken_) {
      if (each.base == &gone) each.base = gone.base;
    }
    RigSnapshot& open = *gone.open;
    taken_.remove_if([&](const Taken& each) { return &each == &gone; });
    handing.let_go();
    rig_->close(open);
  }

  /// The list of the set says so, durably, once the snapshot and the origin are, and before the origin shows it.
  void merge() {
    if (taken_.empty() || merging_) return;
    const Taken& one = any();
    const bool needed = std::ranges::any_of(taken_, [&](const Taken& each) { return each.base == &one; });
    if (one.base || needed || one.may_be_full || one.open->view->state() != SnapshotState::active) return;
    cutting_ = true;
    flush(*one.open->file, *one.allowed);
    cutting_ = false;
    rig_->begin_merge(*one.open, {.batch_bytes = std::array{1U, 4096U, 65536U}[random_() % 3]});
    merging_ = one.open;
    merging_cow_ = one.cow;
    *origin_allowed_ = Allowed(one.allowed->latest());
    taken_.remove_if([&](const Taken& each) { return &each == &one; });
  }

  void merge_some() {
    if (!merging_) return;
    const auto copied = rig_->merge().step(std::array{1U, 4096U, 65536U}[random_() % 3]);
    ASSERT_TRUE(copied);
    if (*copied > 0) return;
    // It may be removed now: the list of the set is without it before its COW file goes.
    RigSnapshot& merged = *std::exchange(merging_, nullptr);
    rig_->origin().end_merge();
    static_cast<void>(rig_->close(merged));
  }

  Taken& any() { return *std::next(taken_.begin(), static_cast<std::ptrdiff_t>(random_() % taken_.size())); }

  void write(ViewFile& file, Allowed& allowed) {
    const std::uint64_t sectors = origin_->sectors();
    const std::uint64_t first = random_() % sectors;
    const std::uint64_t count = std::min<std::uint64_t>(sectors - first, 1 + random_() % (random_() % 4 ? 8 : 60));
    const std::uint64_t write = ++writes_;
    std::vector<std::byte> data;
    for (std::uint64_t s = first; s < first + count; ++s) {
      const auto bytes = stamp(s, write);
      data.insert(data.end(), bytes.begin(), bytes.end());
      allowed.issued(s, write);
    }
    if (rig_->write(file, first * sector_bytes, data)) {
      EXPECT_NE(&file, &rig_->origin_file()) << "the origin never fails";
    }
  }

  void zero(ViewFile& file, Allowed& allowed) {
    const std::uint64_t sectors = origin_->sectors();
    const std::uint64_t first = random_() % sectors;
    const std::uint64_t count = std::min<std::uint64_t>(sectors - first, 1 + random_() % (random_() % 2 ? 16 : 300));
    for (std::uint64_t s = first; s < first + count; ++s) allowed.issued(s, zeroed);
    if (file.zero(first * sector_bytes, count * sector_bytes)) {
      EXPECT_NE(&file, &rig_->origin_file()) << "the origin never fails";
    }
  }
  void zero_snapshot() {
    if (taken_.empty()) return;
    Taken& one = any();
    zero(*one.open->file, *one.allowed);
  }

  void write_snapshot() {
    if (taken_.empty()) return;
    Taken& one = any();
    write(*one.open->file, *one.allowed);
  }

  void flush(ViewFile& file, Allowed& allowed) {
    const std::error_code error = rig_->flush(file);
    if (!error) allowed.flushed();
  }
  void flush_snapshot() {
    if (taken_.empty()) return;
    Taken& one = any();
    // A refused write leaves open which of its sectors were done: nothing is settled by this flush.
    if (one.open->view->state() == SnapshotState::active && !one.may_be_full) flush(*one.open->file, *one.allowed);
  }

  std::mt19937_64 random_;
  std::unique_ptr<CrashingDevice> origin_;
  std::unique_ptr<Allowed> origin_allowed_;
  std::list<Taken> taken_;
  RigSnapshot* merging_ = nullptr;  // the origin is rolled back to it
  CrashingDevice* merging_cow_ = nullptr;
  std::unique_ptr<Rig> rig_;
  std::uint64_t writes_ = 0;
  std::uint64_t cuts_ = 0;
  bool cutting_ = false;
};

TEST(PowerCut, what_was_flushed_is_found_and_snapshots_stay_exact) {
  const std::uint64_t wanted = from_environment("DMSNAP_CRASHES", 20'000);
  const std::uint64_t only = from_environment("DMSNAP_CRASH_SEED", 0);
  std::uint64_t cuts = 0;
  std::uint64_t seed = only ? only : 1;
  for (; cuts < wanted; ++seed) {
    SCOPED_TRACE(testing::Message() << "DMSNAP_CRASH_SEED=" << seed);
    CutRun run(seed);
    for (int i = 0; i < 60 && !testing::Test::HasFailure(); ++i) run.operation();
    cuts += run.cuts();
    ASSERT_FALSE(testing::Test::HasFailure());
    if (only) break;
  }
  RecordProperty("cuts", std::to_string(cuts));
  RecordProperty("seeds", "1 to " + std::to_string(seed - 1));
}

}  // namespace
}  // namespace dmsnap::test
