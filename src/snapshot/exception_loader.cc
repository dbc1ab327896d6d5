// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <utility>

#include "base/on_all_cores.h"
#include "dmsnap/error.h"
#include "snapshot/entry_blocks.h"

namespace dmsnap {

namespace {

constexpr int group_bits = 8;
constexpr int key_bits = 32;  // of an origin chunk that a Single has
/// Entries that are sorted at once: with the room to sort them they fit a processor's cache.
constexpr std::size_t sorted_at_once = 1U << 16;

using Pair = CompactMap::Pair;

}  // namespace

/// An exception whose COW chunk has 32 bits, by the lowest of its origin chunk: most are such.
struct ExceptionLoader::Single {
  std::uint32_t key;
  std::uint32_t value;
};

/// What there is of one range of origin chunks.
struct ExceptionLoader::Group {
  EntryBlocks<Single> singles;
  EntryBlocks<Pair> runs;  // and what else is no Single; with keys as Singles have

  std::size_t size() const { return singles.size() + runs.size(); }
  void merge(Group& other, std::pmr::memory_resource& memory) {
    singles.merge(other.singles, memory);
    runs.merge(other.runs, memory);
  }
};

/// The table of one range of origin chunks.
struct ExceptionLoader::Part {
  CompactMap runs;
  Chunk begin{};  // of the first run
  Chunk end{};    // of the last run; both 0 when there is none
  std::uint64_t longest = 0;
  std::optional<Chunk> twice;

  /// Takes what lies behind into account.
  void go_on(const Part& next) {
    if (next.end == Chunk()) return;
    if (!twice && next.begin < end) twice = next.begin;
    if (!twice) twice = next.twice;
    if (end == Chunk()) begin = next.begin;
    end = next.end;
    longest = std::max(longest, next.longest);
  }
};

/// Sorts groups and makes parts of them. Each thread has one of its own.
class ExceptionLoader::Sorter {
 public:
  /// Leaves of tables are made in `leaves`, if there is one.
  explicit Sorter(BulkMemory* leaves = nullptr) : leaves_(leaves != nullptr ? &leaves->resource() : nullptr) {}

  /// The origin chunks of `group` differ in their lowest `bits` bits alone; the part is for a range of 2^range_bits.
  Part take(const Group& group, std::uint64_t base, int bits, int range_bits) {
    if (group.size() > sorted_at_once && bits >= group_bits + MapLeaf::narrowest)
      return take_by_parts(group, base, bits);
    if (group.runs.empty()) {
      singles_.take(group.singles);
      return fold(singles_.sorted(bits), base, bits, range_bits);
    }
    pairs_.take(group.singles);
    pairs_.take(group.runs);
    return fold(pairs_.sorted(bits), base, bits, range_bits);
  }

  static Part join(std::span<Part> parts, std::uint64_t base, int bits, CompactMap::Memory memory = {}) {
    Part all;
    std::vector<CompactMap> runs;
    for (Part& part : parts) {
      all.go_on(part);
      runs.push_back(std::move(part.runs));
    }
    all.runs = CompactMap(runs, base, bits, std::move(memory));
    return all;
  }

 private:
  /// Entries, and room to sort them.
  template <typename Entry>
  class Sorted {
   public:
    template <typename From>
    void take(const EntryBlocks<From>& from) {
      entries_.reserve(entries_.size() + from.size());
      from.for_each([&](const From& entry) { entries_.push_back({entry.key, entry.value}); });
    }
    /// By their keys' lowest bits, from the lowest digit to the highest. They are gone with the next call of take().
    std::span<const Entry> sorted(int bits) {
      sort(bits);
      room_.swap(entries_);
      entries_.clear();
      return room_;
    }

   private:
    void sort(int bits) {
      constexpr int widest_digit = 11;
      if (entries_.size() < (1U << widest_digit)) {
        std::ranges::sort(entries_, {}, &Entry::key);
        return;
      }
      const int digits = (bits + widest_digit - 1) / widest_digit;
      const int digit = (bits + digits - 1) / digits;
      room_.resize(entries_.size());
      for (int shift = 0; shift < bits; shift += digit) {
        std::array<std::uint32_t, 1U << widest_digit> place{};
        const auto digit_of = [&](const Entry& entry) { return (entry.key >> shift) & ((1U << digit) - 1); };
        for (const Entry& entry : entries_) ++place[digit_of(entry)];
        std::exclusive_scan(place.begin(), place.end(), place.begin(), 0U);
        for (const Entry& entry : entries_) room_[place[digit_of(entry)]++] = entry;
        entries_.swap(room_);
      }
    }

    std::vector<Entry> entries_;
    std::vector<Entry> room_;
  };

  Part take_by_parts(const Group& group, std::uint64_t base, int bits) {
    const int rest = bits - group_bits;
    std::vector<Group> groups(1U << group_bits);
    BulkMemory memory;
    auto& blocks = memory.resource();
    const auto part_of = [&](std::uint64_t key) -> Group& { return groups[(key >> rest) % groups.size()]; };
    group.singles.for_each([&](const Single& one) { part_of(one.key).singles.add(one, blocks); });
    group.runs.for_each([&](const Pair& run) { part_of(run.key).runs.add(run, blocks); });
    std::vector<Part> parts(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i) parts[i] = take(groups[i], base + (i << rest), rest, rest);
    return join(parts, base, rest);
  }

  /// Makes one run of entries that are consecutive in both numbers.
  template <typename Entry>
  Part fold(std::span<const Entry> sorted, std::uint64_t base, int bits, int range_bits) {
    Part part;
    folded_.clear();
    for (const Entry& entry : sorted) {
      const std::uint64_t low = entry.key & ~std::uint64_t{0} >> (64 - bits);
      const ExceptionRun run = ExceptionTable::unpack(base + low, entry.value);
      if (folded_.empty()) part.begin = run.origin;
      if (run.origin < part.end) {
        if (!part.twice) part.twice = run.origin;
        continue;
      }
      if (!folded_.empty() && ExceptionTable::continues(ExceptionTable::run_of(folded_.back()), run)) {
        const ExceptionRun last = ExceptionTable::run_of(folded_.back());
        folded_.back().value = ExceptionTable::pack(last.copy, last.length + run.length);
        part.longest = std::max(part.longest, last.length + run.length);
      } else {
        folded_.push_back({run.origin.value(), entry.value});
        part.longest = std::max(part.longest, run.length);
      }
      part.end = run.origin + run.length;
    }
    part.runs = CompactMap(folded_, range_bits, leaves_);
    return part;
  }

  std::pmr::memory_resource* const leaves_;
  Sorted<Single> singles_;
  Sorted<Pair> pairs_;
  std::vector<Pair> folded_;
};

ExceptionLoader::ExceptionLoader(std::uint64_t origin_chunks) : end_(origin_chunks), groups_(1U << group_bits) {}

ExceptionLoader::~ExceptionLoader() = default;

bool ExceptionLoader::add(ExceptionRun run) {
  if (!ExceptionTable::can_hold(run) || run.origin >= end_ || run.length > end_ - run.origin) return false;
  for (; run.length > ExceptionTable::max_run; run.length -= ExceptionTable::max_run) {
    stage({.origin = run.origin, .copy = run.copy, .length = ExceptionTable::max_run});
    run.origin += ExceptionTable::max_run;
    run.copy += ExceptionTable::max_run;
  }
  if (run.length > 0) stage(run);
  return true;
}

void ExceptionLoader::stage(const ExceptionRun& piece) {
  staged_.push_back({piece.origin.value(), ExceptionTable::pack(piece.copy, piece.length)});
  if (staged_.size() == staged_at_once) distribute();
}

void ExceptionLoader::distribute() {
  auto& memory = blocks_.resource();
  for (const Pair& entry : staged_) {
    const auto [origin, value] = entry;
    if (origin >= far_chunks) {
      far_.push_back(entry);
      continue;
    }
    if (origin >> shift_ >= groups_.size()) widen(origin);
    Group& group = groups_[origin >> shift_];
    const auto key = static_cast<std::uint32_t>(origin);
    if (value >> 32 == 0) {
      group.singles.add({key, static_cast<std::uint32_t>(value)}, memory);
    } else {
      group.runs.add({key, value}, memory);
    }
    ++count_;
  }
  staged_.clear();
}

/// Makes the groups' ranges so wide that they have the origin chunk.
void ExceptionLoader::widen(std::uint64_t origin) {
  const int by = static_cast<int>(std::bit_width(origin >> shift_)) - group_bits;
  for (std::size_t i = 1; i < groups_.size(); ++i) {
    if (i >> by != i) groups_[i >> by].merge(groups_[i], blocks_.resource());
  }
  shift_ += by;
}

ExceptionLoader::Part ExceptionLoader::sort_groups() {
  if (count_ <= sorted_at_once && shift_ + group_bits <= key_bits) {
    for (std::size_t i = 1; i < groups_.size(); ++i) groups_[0].merge(groups_[i], blocks_.resource());
    return Sorter().take(groups_[0], 0, shift_ + group_bits, 64);
  }
  std::vector<Part> parts(groups_.size());
  std::atomic<std::size_t> next = 0;
  CompactMap::Memory memory;
  std::mutex memory_lock;
  const auto take = [&] {
    auto leaves = std::make_unique<BulkMemory>(HugePages::size);
    Sorter sorter(leaves.get());
    for (std::size_t i = next++; i < parts.size(); i = next++) {
      parts[i] = sorter.take(groups_[i], std::uint64_t{i} << shift_, shift_, shift_);
    }
    const std::lock_guard lock(memory_lock);
    memory.push_back(std::move(leaves));
  };
  count_ > sorted_at_once ? on_all_cores(take) : take();
  return Sorter::join(parts, 0, shift_, std::move(memory));
}

std::optional<Chunk> ExceptionLoader::finish(ExceptionTable& table) {
  distribute();
  Part all = sort_groups();
  table = ExceptionTable(std::move(all.runs), all.longest);
  std::ranges::sort(far_, {}, &Pair::key);
  for (const Pair& entry : far_) {
    const ExceptionRun run = ExceptionTable::run_of(entry);
    if (!table.insert(run) && !all.twice) all.twice = run.origin;
  }
  return all.twice;
}

ExceptionTable ExceptionLoader::finish() {
  ExceptionTable table;
  if (const auto twice = finish(table)) {
    throw StoreError(
        fmt::format("origin chunk {} is named by an earlier entry too: 'dmsnap check' shows by which", twice->value()));
  }
  return table;
}

bool load_exceptions(ExceptionStore& store, std::uint64_t origin_sectors, ExceptionTable& table) {
  std::optional<ExceptionLoader> loader;
  const bool valid = store.load(origin_sectors, [&](const ExceptionRun& run) {
    if (!loader) loader.emplace(store.geometry().chunks_touched(origin_sectors));
    return loader->add(run);
  });
  if (loader) table = loader->finish();
  return valid;
}

}  // namespace dmsnap
