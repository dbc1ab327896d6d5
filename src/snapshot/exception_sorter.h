// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/huge_pages.h"
#include "snapshot/compact_map.h"
#include "snapshot/entry_blocks.h"
#include "snapshot/exception_table.h"

namespace dmsnap {

/// An exception whose COW chunk has 32 bits, by the lowest of its origin chunk: most are such.
struct SingleException {
  std::uint32_t key;
  std::uint32_t value;
};

/// What there is of one range of origin chunks, in any order.
struct ExceptionGroup {
  EntryBlocks<SingleException> singles;
  EntryBlocks<CompactMap::Pair> runs;  // and what else is no single one; with keys as those have, pack()ed

  std::size_t size() const { return singles.size() + runs.size(); }
  void merge(ExceptionGroup& other, std::pmr::memory_resource& memory) {
    singles.merge(other.singles, memory);
    runs.merge(other.runs, memory);
  }
};

/// The table of one range of origin chunks.
struct ExceptionPart {
  CompactMap runs;
  Chunk begin{};  // of the first run
  Chunk end{};    // of the last run; both 0 when there is none
  std::uint64_t longest = 0;
  std::optional<Chunk> twice;  // the lowest origin chunk that two entries name

  /// Takes what lies behind into account.
  void go_on(const ExceptionPart& next);
};

/// Sorts groups by their origin chunks and makes parts of a table of them. One thread at a time.
class ExceptionSorter {
 public:
  /// Entries that are sorted at once: with the room to sort them they fit a processor's cache.
  static constexpr std::size_t at_once = 1U << 16;
  static constexpr int group_bits = 8;  ///< larger groups are divided into 2^group_bits

  /// Leaves of tables are made in `leaves`, if there is one.
  explicit ExceptionSorter(BulkMemory* leaves = nullptr) : leaves_(leaves != nullptr ? &leaves->resource() : nullptr) {}

  /// The origin chunks of `group` differ from `base` in their lowest `bits` bits alone; the part is for a range of
  /// 2^range_bits.
  ExceptionPart take(const ExceptionGroup& group, std::uint64_t base, int bits, int range_bits);
  /// One part of those of neighbouring ranges of 2^bits, as CompactMap makes one map.
  static ExceptionPart join(std::span<ExceptionPart> parts, std::uint64_t base, int bits,
                            CompactMap::Memory memory = {});

 private:
  using Pair = CompactMap::Pair;

  /// Entries, and room to sort them.
  template <typename Entry>
  class Sorted {
   public:
    template <typename From>
    void take(const EntryBlocks<From>& from);
    /// By their keys' lowest bits, from the lowest digit to the highest. They are gone with the next call of take().
    std::span<const Entry> sorted(int bits);

   private:
    void sort(int bits);

    std::vector<Entry> entries_;
    std::vector<Entry> room_;
  };

  ExceptionPart take_by_parts(const ExceptionGroup& group, std::uint64_t base, int bits);
  template <typename Entry>
  ExceptionPart fold(std::span<const Entry> sorted, std::uint64_t base, int bits, int range_bits);

  std::pmr::memory_resource* const leaves_;
  Sorted<SingleException> singles_;
  Sorted<Pair> pairs_;
  std::vector<Pair> folded_;  // room for what fold() makes
};

}  // namespace dmsnap
