// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <iterator>
#include <numeric>
#include <span>
#include <utility>

#include "base/on_all_cores.h"
#include "dmsnap/error.h"

namespace dmsnap {

namespace {

constexpr int group_bits = 8;
constexpr int entry_bits = 32;  // of an origin chunk that an entry has
/// Entries that are sorted at once: with the room to sort them they fit a processor's cache.
constexpr std::size_t sorted_at_once = 1U << 16;

using Pair = CompactMap::Pair;

ExceptionRun run_of(const Pair& pair) {
  return ExceptionTable::unpack(pair.key, pair.value);
}

std::array<std::uint32_t, 2> halves(std::uint64_t value) {
  return {static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)};
}

std::uint64_t whole(const std::array<std::uint32_t, 2>& halves) {
  return halves[0] | std::uint64_t{halves[1]} << 32;
}

}  // namespace

/// Entries whose origin chunks lie in one range, in blocks.
class ExceptionLoader::Group {
 public:
  void add(const Entry& entry) {
    if (next_ == end_) more();
    *next_++ = entry;
  }
  bool empty() const { return blocks_.empty(); }
  std::size_t size() const { return blocks_.size() * Block().size() - static_cast<std::size_t>(end_ - next_); }

  /// Hands out all entries, as spans, and frees them on the way.
  template <typename Take>
  void drain(const Take& take) {
    for (auto& block : blocks_) {
      const bool last = &block == &blocks_.back();
      take(std::span<const Entry>(block->data(), last ? next_ : block->data() + block->size()));
      block.reset();
    }
    blocks_.clear();
    next_ = end_ = nullptr;
  }

  /// Takes over what another group has.
  void merge(Group& other) {
    if (other.empty()) return;
    if (empty()) return std::swap(*this, other);
    // Full blocks go before the last one; the rest is copied, lest blocks should stay half empty.
    blocks_.insert(blocks_.end() - 1, std::move_iterator(other.blocks_.begin()),
                   std::move_iterator(other.blocks_.end() - 1));
    other.blocks_.erase(other.blocks_.begin(), other.blocks_.end() - 1);
    other.drain([&](std::span<const Entry> some) {
      for (const Entry& entry : some) add(entry);
    });
  }

 private:
  using Block = std::array<Entry, 340>;  // 4080 bytes

  void more() {
    blocks_.push_back(std::make_unique_for_overwrite<Block>());
    next_ = blocks_.back()->data();
    end_ = next_ + blocks_.back()->size();
  }

  std::vector<std::unique_ptr<Block>> blocks_;
  Entry* next_ = nullptr;
  Entry* end_ = nullptr;
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
  /// The entries of `group` differ in their lowest `bits` bits alone; the part is for a range of 2^range_bits.
  Part take(Group& group, std::uint64_t base, int bits, int range_bits) {
    if (group.size() > sorted_at_once && bits >= group_bits + MapLeaf::narrowest)
      return take_by_parts(group, base, bits);
    entries_.clear();
    group.drain([&](std::span<const Entry> some) { entries_.insert(entries_.end(), some.begin(), some.end()); });
    sort(bits);
    return fold(base, bits, range_bits);
  }

  static Part join(std::span<Part> parts, std::uint64_t base, int bits) {
    Part all;
    std::vector<CompactMap> runs;
    for (Part& part : parts) {
      all.go_on(part);
      runs.push_back(std::move(part.runs));
    }
    all.runs = CompactMap(runs, base, bits);
    return all;
  }

 private:
  Part take_by_parts(Group& group, std::uint64_t base, int bits) {
    const int rest = bits - group_bits;
    std::vector<Group> groups(1U << group_bits);
    group.drain([&](std::span<const Entry> some) {
      for (const Entry& entry : some) groups[(entry.origin >> rest) % groups.size()].add(entry);
    });
    std::vector<Part> parts(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i) parts[i] = take(groups[i], base + (i << rest), rest, rest);
    return join(parts, base, rest);
  }

  /// From the lowest digit to the highest.
  void sort(int bits) {
    constexpr int widest_digit = 11;
    if (entries_.size() < (1U << widest_digit)) {
      std::ranges::sort(entries_, {}, &Entry::origin);
      return;
    }
    const int digits = (bits + widest_digit - 1) / widest_digit;
    const int digit = (bits + digits - 1) / digits;
    sorted_.resize(entries_.size());
    for (int shift = 0; shift < bits; shift += digit) {
      std::array<std::uint32_t, 1U << widest_digit> place{};
      const auto digit_of = [&](const Entry& entry) { return (entry.origin >> shift) & ((1U << digit) - 1); };
      for (const Entry& entry : entries_) ++place[digit_of(entry)];
      std::exclusive_scan(place.begin(), place.end(), place.begin(), 0U);
      for (const Entry& entry : entries_) sorted_[place[digit_of(entry)]++] = entry;
      entries_.swap(sorted_);
    }
  }

  /// Makes one run of entries that are consecutive in both numbers.
  Part fold(std::uint64_t base, int bits, int range_bits) {
    Part part;
    pairs_.clear();
    for (const Entry& entry : entries_) {
      const std::uint64_t low = entry.origin & ~std::uint64_t{0} >> (64 - bits);
      const ExceptionRun run = ExceptionTable::unpack(base + low, whole(entry.run));
      if (pairs_.empty()) part.begin = run.origin;
      if (run.origin < part.end) {
        if (!part.twice) part.twice = run.origin;
        continue;
      }
      if (!pairs_.empty() && ExceptionTable::continues(run_of(pairs_.back()), run)) {
        const ExceptionRun last = run_of(pairs_.back());
        pairs_.back().value = ExceptionTable::pack(last.copy, last.length + run.length);
        part.longest = std::max(part.longest, last.length + run.length);
      } else {
        pairs_.push_back({run.origin.value(), whole(entry.run)});
        part.longest = std::max(part.longest, run.length);
      }
      part.end = run.origin + run.length;
    }
    part.runs = CompactMap(pairs_, range_bits);
    return part;
  }

  std::vector<Entry> entries_;
  std::vector<Entry> sorted_;
  std::vector<Pair> pairs_;
};

ExceptionLoader::ExceptionLoader(std::uint64_t origin_chunks) : end_(origin_chunks), groups_(1U << group_bits) {}

ExceptionLoader::~ExceptionLoader() = default;

bool ExceptionLoader::add(ExceptionRun run) {
  if (!ExceptionTable::can_hold(run) || run.origin >= end_ || run.length > end_ - run.origin) return false;
  while (run.length > 0) {
    const std::uint64_t length = std::min(run.length, ExceptionTable::max_run);
    const std::uint64_t origin = run.origin.value();
    if (origin >= far_chunks) {
      far_.push_back({.origin = run.origin, .copy = run.copy, .length = length});
    } else {
      if (origin >> shift_ >= groups_.size()) widen(origin);
      groups_[origin >> shift_].add(
          {static_cast<std::uint32_t>(origin), halves(ExceptionTable::pack(run.copy, length))});
      ++count_;
    }
    run = {.origin = run.origin + length, .copy = run.copy + length, .length = run.length - length};
  }
  return true;
}

/// Makes the groups' ranges so wide that they have the origin chunk.
void ExceptionLoader::widen(std::uint64_t origin) {
  const int by = static_cast<int>(std::bit_width(origin >> shift_)) - group_bits;
  for (std::size_t i = 1; i < groups_.size(); ++i) {
    if (i >> by != i) groups_[i >> by].merge(groups_[i]);
  }
  shift_ += by;
}

ExceptionLoader::Part ExceptionLoader::sort_groups() {
  if (count_ <= sorted_at_once && shift_ + group_bits <= entry_bits) {
    for (std::size_t i = 1; i < groups_.size(); ++i) groups_[0].merge(groups_[i]);
    return Sorter().take(groups_[0], 0, shift_ + group_bits, 64);
  }
  std::vector<Part> parts(groups_.size());
  std::atomic<std::size_t> next = 0;
  const auto take = [&] {
    Sorter sorter;
    for (std::size_t i = next++; i < parts.size(); i = next++) {
      parts[i] = sorter.take(groups_[i], std::uint64_t{i} << shift_, shift_, shift_);
    }
  };
  count_ > sorted_at_once ? on_all_cores(take) : take();
  return Sorter::join(parts, 0, shift_);
}

std::optional<Chunk> ExceptionLoader::finish(ExceptionTable& table) {
  Part all = sort_groups();
  table = ExceptionTable(std::move(all.runs), all.longest);
  std::ranges::sort(far_, {}, &ExceptionRun::origin);
  for (const ExceptionRun& run : far_) {
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
