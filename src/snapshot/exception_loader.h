// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <absl/container/btree_map.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dmsnap/exception_store.h"
#include "snapshot/exception_table.h"

namespace dmsnap {

/// Makes an exception table of a store's list, whatever its order, in the memory that the table then takes: a radix
/// sort in two steps. Entries are put into blocks by the highest bits of their origin chunk as they come; then each
/// group of blocks, which fits a processor's cache, is sorted and appended to the table, and its blocks are freed.
/// Inserting them one by one takes five times as long (test/bench/metadata_bench.cc).
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
  /// An exception in a part of the image that has 2^32 chunks.
  struct Entry {
    std::uint32_t origin;
    std::array<std::uint32_t, 2> run;  // as the table stores it, lower half first
  };
  class Group;
  using Groups = std::array<Group, 256>;
  class Sorter;

  const Chunk end_;
  const int shift_;  // of the highest 8 bits of an origin chunk
  absl::btree_map<std::uint64_t, std::unique_ptr<Groups>> parts_;
  std::uint64_t part_ = 0;  // the one that the last entry fell into
  Groups* groups_ = nullptr;
};

/// ExceptionStore::load() into `table`, which is empty. Throws what it throws, and StoreError when an origin chunk is
/// named twice.
bool load_exceptions(ExceptionStore& store, std::uint64_t origin_sectors, ExceptionTable& table);

}  // namespace dmsnap
