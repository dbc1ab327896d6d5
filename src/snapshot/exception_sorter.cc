// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/exception_sorter.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

namespace dmsnap {

void ExceptionPart::go_on(const ExceptionPart& next) {
  if (next.end == Chunk()) return;
  if (!twice && next.begin < end) twice = next.begin;
  if (!twice) twice = next.twice;
  if (end == Chunk()) begin = next.begin;
  end = next.end;
  longest = std::max(longest, next.longest);
}

template <typename Entry>
template <typename From>
void ExceptionSorter::Sorted<Entry>::take(const EntryBlocks<From>& from) {
  entries_.reserve(entries_.size() + from.size());
  from.for_each([&](const From& entry) { entries_.push_back({entry.key, entry.value}); });
}

template <typename Entry>
std::span<const Entry> ExceptionSorter::Sorted<Entry>::sorted(int bits) {
  sort(bits);
  room_.swap(entries_);
  entries_.clear();
  return room_;
}

template <typename Entry>
void ExceptionSorter::Sorted<Entry>::sort(int bits) {
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

ExceptionPart ExceptionSorter::take(const ExceptionGroup& group, std::uint64_t base, int bits, int range_bits) {
  if (group.size() > at_once && bits >= group_bits + MapLeaf::narrowest) return take_by_parts(group, base, bits);
  if (group.runs.empty()) {
    singles_.take(group.singles);
    return fold(singles_.sorted(bits), base, bits, range_bits);
  }
  pairs_.take(group.singles);
  pairs_.take(group.runs);
  return fold(pairs_.sorted(bits), base, bits, range_bits);
}

ExceptionPart ExceptionSorter::take_by_parts(const ExceptionGroup& group, std::uint64_t base, int bits) {
  const int rest = bits - group_bits;
  std::vector<ExceptionGroup> groups(1U << group_bits);
  BulkMemory memory;
  auto& blocks = memory.resource();
  const auto part_of = [&](std::uint64_t key) -> ExceptionGroup& { return groups[(key >> rest) % groups.size()]; };
  group.singles.for_each([&](const SingleException& one) { part_of(one.key).singles.add(one, blocks); });
  group.runs.for_each([&](const Pair& run) { part_of(run.key).runs.add(run, blocks); });
  std::vector<ExceptionPart> parts(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) parts[i] = take(groups[i], base + (i << rest), rest, rest);
  return join(parts, base, rest);
}

ExceptionPart ExceptionSorter::join(std::span<ExceptionPart> parts, std::uint64_t base, int bits,
                                    CompactMap::Memory memory) {
  ExceptionPart all;
  std::vector<CompactMap> runs;
  for (ExceptionPart& part : parts) {
    all.go_on(part);
    runs.push_back(std::move(part.runs));
  }
  all.runs = CompactMap(runs, base, bits, std::move(memory));
  return all;
}

/// Makes one run of entries that are consecutive in both numbers.
template <typename Entry>
ExceptionPart ExceptionSorter::fold(std::span<const Entry> sorted, std::uint64_t base, int bits, int range_bits) {
  ExceptionPart part;
  if (folded_.size() < sorted.size()) folded_.resize(sorted.size());
  Pair* const first = folded_.data();
  Pair* end = first;
  for (const Entry& entry : sorted) {
    const std::uint64_t low = entry.key & ~std::uint64_t{0} >> (64 - bits);
    ExceptionRun run = ExceptionTable::unpack(base + low, entry.value);
    if (end == first) part.begin = run.origin;
    if (run.origin < part.end) {
      if (!part.twice) part.twice = run.origin;
      continue;
    }
    part.end = run.origin + run.length;
    if (end != first && ExceptionTable::continues(ExceptionTable::run_of(end[-1]), run)) {
      const ExceptionRun before = ExceptionTable::run_of(*--end);
      run = {.origin = before.origin, .copy = before.copy, .length = before.length + run.length};
    }
    *end++ = {run.origin.value(), ExceptionTable::pack(run.copy, run.length)};
    part.longest = std::max(part.longest, run.length);
  }
  part.runs = CompactMap({first, end}, range_bits, leaves_);
  return part;
}

}  // namespace dmsnap
