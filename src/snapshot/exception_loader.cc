// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>
#include <utility>

#include "dmsnap/error.h"

namespace dmsnap {

namespace {

constexpr int part_bits = 32;
constexpr int group_bits = 8;
/// Entries that are sorted at once: with the room to sort them they fit a second-level cache.
constexpr std::size_t sorted_at_once = 1U << 15;

}  // namespace

/// Entries with the same highest bits, in blocks.
class ExceptionLoader::Group {
 public:
  void add(const Entry& entry) {
    if (next_ == end_) more();
    *next_++ = entry;
  }
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

/// Sorts groups of one part and appends them to the table.
class ExceptionLoader::Sorter {
 public:
  explicit Sorter(ExceptionTable& table) : table_(table) {}

  /// The entries of `group` differ in their lowest `bits` bits alone. Groups come in ascending order.
  void append(std::uint64_t part, Group& group, int bits) {
    if (group.size() > sorted_at_once && bits > 0) return split(part, group, bits);
    entries_.clear();
    group.drain([&](std::span<const Entry> some) { entries_.insert(entries_.end(), some.begin(), some.end()); });
    sort(bits);
    for (const Entry& entry : entries_) {
      const ExceptionRun run = ExceptionTable::unpack(part << part_bits | entry.origin, join(entry.run));
      if (!table_.append(run) && !twice_) twice_ = run.origin;
    }
  }

  std::optional<Chunk> twice() const { return twice_; }

  static std::array<std::uint32_t, 2> halves(std::uint64_t value) {
    return {static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)};
  }

 private:
  static std::uint64_t join(const std::array<std::uint32_t, 2>& halves) {
    return halves[0] | std::uint64_t{halves[1]} << 32;
  }

  void split(std::uint64_t part, Group& group, int bits) {
    const int rest = std::max(0, bits - group_bits);
    auto groups = std::make_unique<Groups>();
    group.drain([&](std::span<const Entry> some) {
      for (const Entry& entry : some) (*groups)[(entry.origin >> rest) % groups->size()].add(entry);
    });
    for (Group& each : *groups) append(part, each, rest);
  }

  /// From the lowest digit to the highest.
  void sort(int bits) {
    constexpr int digit = 11;
    if (entries_.size() < (1U << digit)) {
      std::ranges::sort(entries_, {}, &Entry::origin);
      return;
    }
    sorted_.resize(entries_.size());
    for (int shift = 0; shift < bits; shift += digit) {
      std::array<std::uint32_t, 1U << digit> place{};
      const auto digit_of = [&](const Entry& entry) { return (entry.origin >> shift) % place.size(); };
      for (const Entry& entry : entries_) ++place[digit_of(entry)];
      std::exclusive_scan(place.begin(), place.end(), place.begin(), 0U);
      for (const Entry& entry : entries_) sorted_[place[digit_of(entry)]++] = entry;
      entries_.swap(sorted_);
    }
  }

  ExceptionTable& table_;
  std::optional<Chunk> twice_;
  std::vector<Entry> entries_;
  std::vector<Entry> sorted_;
};

ExceptionLoader::ExceptionLoader(std::uint64_t origin_chunks)
    : end_(origin_chunks),
      shift_(std::clamp(static_cast<int>(std::bit_width(origin_chunks)), group_bits, part_bits) - group_bits) {}

ExceptionLoader::~ExceptionLoader() = default;

bool ExceptionLoader::add(ExceptionRun run) {
  if (!ExceptionTable::can_hold(run) || run.origin >= end_ || run.length > end_ - run.origin) return false;
  while (run.length > 0) {
    const std::uint64_t length = std::min(run.length, ExceptionTable::max_run);
    const std::uint64_t part = run.origin.value() >> part_bits;
    if (groups_ == nullptr || part != part_) {
      auto& groups = parts_[part];
      if (!groups) groups = std::make_unique<Groups>();
      groups_ = groups.get();
      part_ = part;
    }
    const auto origin = static_cast<std::uint32_t>(run.origin.value());
    (*groups_)[(origin >> shift_) % groups_->size()].add(
        {origin, Sorter::halves(ExceptionTable::pack(run.copy, length))});
    run = {.origin = run.origin + length, .copy = run.copy + length, .length = run.length - length};
  }
  return true;
}

std::optional<Chunk> ExceptionLoader::finish(ExceptionTable& table) {
  Sorter sorter(table);
  for (auto& [part, groups] : parts_) {
    for (Group& group : *groups) sorter.append(part, group, shift_);
    groups.reset();
  }
  return sorter.twice();
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
