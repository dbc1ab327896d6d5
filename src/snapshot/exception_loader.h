// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/huge_pages.h"
#include "dmsnap/exception_store.h"
#include "snapshot/exception_table.h"

namespace dmsnap {

/// Makes an exception table of a store's list, whatever its order: a radix sort in two steps. Entries are put into
/// groups by the highest bits of their origin chunk as they come; then each group, which fits a processor's cache, is
/// sorted and becomes a part of the table, on as many cores as there are. That takes 8 bytes for each beside the table.
/// Inserting them one by one takes ten times as long (test/bench/metadata_bench.cc).
class ExceptionLoader {
 public:
  /// For origin chunks below `origin_chunks`.
  explicit ExceptionLoader(std::uint64_t origin_chunks);
  ~ExceptionLoader();
  ExceptionLoader(const ExceptionLoader&) = delete;
  ExceptionLoader& operator=(const ExceptionLoader&) = delete;

  /// False when it lies beyond `origin_chunks`, or the table could not hold it (ExceptionTable::copy_limit).
  [[nodiscard]] bool add(ExceptionRun run);
  /// Puts what was added into `table`, which is empty. The lowest origin chunk that was added twice, if there is one;
  /// the table is of no use then. To be called once.
  [[nodiscard]] std::optional<Chunk> finish(ExceptionTable& table);
  /// As finish(), and throws StoreError when an origin chunk was added twice.
  ExceptionTable finish();

 private:
  struct Single;
  struct Group;
  struct Part;
  class Sorter;
  static constexpr std::uint64_t far_chunks = std::uint64_t{1} << 40;

  /// Entries that are put into their groups at once. A group is in a page of its own: with each system call that reads
  /// entries between them, a processor may have to look up that page anew.
  static constexpr std::size_t staged_at_once = 1U << 14;

  void stage(const ExceptionRun& piece);
  void distribute();

  void widen(std::uint64_t origin);
  Part sort_groups();

  const Chunk end_;
  std::vector<CompactMap::Pair> staged_;
  BulkMemory blocks_;                  // that groups are in
  std::vector<Group> groups_;          // each of 2^shift_ origin chunks
  int shift_ = MapLeaf::narrowest;     // grows with the origin chunks that come
  std::size_t count_ = 0;              // entries in all groups
  std::vector<CompactMap::Pair> far_;  // of origin chunks from far_chunks on: 4 PiB with chunks of 4 KiB
};

/// ExceptionStore::load() into `table`, which is empty. Throws what it throws, and StoreError when an origin chunk is
/// named twice.
bool load_exceptions(ExceptionStore& store, std::uint64_t origin_sectors, ExceptionTable& table);

}  // namespace dmsnap
