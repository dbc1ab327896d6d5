// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <memory_resource>
#include <utility>
#include <vector>

namespace dmsnap {

/// A list in blocks of a page, which belong to the memory that is handed in.
template <typename Entry>
class EntryBlocks {
 public:
  void add(const Entry& entry, std::pmr::memory_resource& memory) {
    if (next_ == end_) more(memory);
    *next_++ = entry;
  }
  bool empty() const { return blocks_.empty(); }
  std::size_t size() const { return blocks_.size() * Block().size() - static_cast<std::size_t>(end_ - next_); }

  template <typename Take>
  void for_each(const Take& take) const {
    for (const Block* block : blocks_) {
      const Entry* end = block == blocks_.back() ? next_ : block->data() + block->size();
      for (const Entry* entry = block->data(); entry != end; ++entry) take(*entry);
    }
  }

  /// Takes over what another list has, in any order.
  void merge(EntryBlocks& other, std::pmr::memory_resource& memory) {
    if (other.empty()) return;
    if (empty()) return std::swap(*this, other);
    // Full blocks go before the last one; the rest is copied, lest blocks should stay half empty.
    blocks_.insert(blocks_.end() - 1, other.blocks_.begin(), other.blocks_.end() - 1);
    other.blocks_.erase(other.blocks_.begin(), other.blocks_.end() - 1);
    other.for_each([&](const Entry& entry) { add(entry, memory); });
    other = EntryBlocks();
  }

 private:
  using Block = std::array<Entry, 4096 / sizeof(Entry)>;

  void more(std::pmr::memory_resource& memory) {
    blocks_.push_back(new (memory.allocate(sizeof(Block), sizeof(Block))) Block);
    next_ = blocks_.back()->data();
    end_ = next_ + blocks_.back()->size();
  }

  std::vector<Block*> blocks_;
  Entry* next_ = nullptr;
  Entry* end_ = nullptr;
};

}  // namespace dmsnap
