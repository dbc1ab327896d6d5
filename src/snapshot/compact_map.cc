// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/compact_map.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <span>

namespace dmsnap {

/// One block of memory: this header, the keys as distances, the values.
class CompactMap::Leaf {
 public:
  static constexpr std::uint32_t limit = 128;

  /// The capacity is rounded up to an even number, so that the values are aligned.
  static LeafPtr make(std::uint32_t capacity) {
    capacity += capacity % 2;
    void* memory = std::malloc(bytes(capacity));
    if (memory == nullptr) throw std::bad_alloc();
    return LeafPtr(new (memory) Leaf(capacity));
  }

  std::uint32_t count() const { return count_; }
  bool full() const { return count_ == capacity_; }
  std::span<const std::uint32_t> distances() const { return {keys(), count_}; }
  std::uint64_t value(std::uint32_t at) const { return values()[at]; }
  void set_value(std::uint32_t at, std::uint64_t value) { values()[at] = value; }

  /// How many lie at or below.
  std::uint32_t count_up_to(std::uint32_t distance) const {
    const std::uint32_t* first = keys();
    std::uint32_t length = count_;
    while (length > 0) {
      const std::uint32_t half = (length + 1) / 2;
      first += first[half - 1] <= distance ? half : 0;
      length -= half;
    }
    return static_cast<std::uint32_t>(first - keys());
  }

  void insert(std::uint32_t at, std::uint32_t distance, std::uint64_t value) {
    std::copy_backward(keys() + at, keys() + count_, keys() + count_ + 1);
    std::copy_backward(values() + at, values() + count_, values() + count_ + 1);
    keys()[at] = distance;
    values()[at] = value;
    ++count_;
  }
  void erase(std::uint32_t at) {
    std::copy(keys() + at + 1, keys() + count_, keys() + at);
    std::copy(values() + at + 1, values() + count_, values() + at);
    --count_;
  }

  /// A leaf with the pairs from `from` on, their distances less by `nearer`, and room for more.
  LeafPtr copy(std::uint32_t from, std::uint32_t nearer, std::uint32_t room) const {
    LeafPtr made = make(count_ - from + room);
    std::transform(keys() + from, keys() + count_, made->keys(), [&](std::uint32_t d) { return d - nearer; });
    std::copy(values() + from, values() + count_, made->values());
    made->count_ = count_ - from;
    return made;
  }
  void cut(std::uint32_t count) { count_ = count; }

 private:
  explicit Leaf(std::uint32_t capacity) : capacity_(capacity) {}

  static std::size_t bytes(std::uint32_t capacity) {
    return sizeof(Leaf) + capacity * (sizeof(std::uint64_t) + sizeof(std::uint32_t));
  }
  std::uint32_t* keys() { return reinterpret_cast<std::uint32_t*>(this + 1); }
  const std::uint32_t* keys() const { return reinterpret_cast<const std::uint32_t*>(this + 1); }
  std::uint64_t* values() { return reinterpret_cast<std::uint64_t*>(keys() + capacity_); }
  const std::uint64_t* values() const { return reinterpret_cast<const std::uint64_t*>(keys() + capacity_); }

  std::uint32_t count_ = 0;
  std::uint32_t capacity_;
};

namespace {

constexpr std::uint32_t growth = 8;
constexpr std::uint64_t farthest = std::numeric_limits<std::uint32_t>::max();

std::uint32_t distance(std::uint64_t base, std::uint64_t key) {
  return static_cast<std::uint32_t>(std::min(key - base, farthest));
}

}  // namespace

void CompactMap::FreeLeaf::operator()(Leaf* leaf) const {
  std::free(leaf);
}

CompactMap::Leaves::iterator CompactMap::leaf_for(std::uint64_t key) {
  const auto next = leaves_.upper_bound(key);
  assert(next != leaves_.begin());
  return std::prev(next);
}

CompactMap::Pair CompactMap::pair_at(const Leaves::value_type& leaf, std::uint32_t at) {
  return {leaf.first + leaf.second->distances()[at], leaf.second->value(at)};
}

CompactMap::Neighbours CompactMap::around(std::uint64_t key) const {
  Neighbours found;
  const auto next = leaves_.upper_bound(key);
  if (next != leaves_.end()) found.above = pair_at(*next, 0);
  if (next == leaves_.begin()) return found;
  // No leaf is empty, so what is not in this one is at the near end of its neighbours.
  const auto leaf = std::prev(next);
  const std::uint32_t below = leaf->second->count_up_to(distance(leaf->first, key));
  if (below < leaf->second->count()) found.above = pair_at(*leaf, below);
  if (below > 0) {
    found.at_or_below = pair_at(*leaf, below - 1);
  } else if (leaf != leaves_.begin()) {
    const auto before = std::prev(leaf);
    found.at_or_below = pair_at(*before, before->second->count() - 1);
  }
  return found;
}

std::optional<CompactMap::Pair> CompactMap::at_or_below(std::uint64_t key) const {
  return around(key).at_or_below;
}

std::optional<CompactMap::Pair> CompactMap::above(std::uint64_t key) const {
  return around(key).above;
}

/// The leaf that may hold the key, which is made when there is none, or none from which it is near enough.
CompactMap::Leaves::iterator CompactMap::leaf_to_insert(std::uint64_t key) {
  std::uint64_t base = key - key % (farthest + 1);
  const auto next = leaves_.upper_bound(key);
  if (next != leaves_.begin()) {
    const auto leaf = std::prev(next);
    if (key - leaf->first <= farthest) return leaf;
    base = std::max(base, leaf->first + leaf->second->distances().back() + 1);
  }
  return leaves_.emplace_hint(next, base, Leaf::make(growth));
}

/// Makes room for the key in a leaf that has none, and gives the leaf that is to take it.
CompactMap::Leaves::iterator CompactMap::split(Leaves::iterator full, std::uint64_t key) {
  Leaf& leaf = *full->second;
  if (leaf.count() < Leaf::limit) {
    full->second = leaf.copy(0, 0, growth);
    return full;
  }
  // What is written in ascending order leaves full leaves behind.
  const std::uint64_t last = full->first + leaf.distances().back();
  if (key > last) return leaves_.emplace_hint(std::next(full), last + 1, Leaf::make(growth));
  constexpr std::uint32_t half = Leaf::limit / 2;
  const std::uint32_t nearer = leaf.distances()[half];
  const std::uint64_t base = full->first;
  LeafPtr upper = leaf.copy(half, nearer, growth);
  leaf.cut(half);
  full->second = leaf.copy(0, 0, growth);
  const auto added = leaves_.emplace(base + nearer, std::move(upper)).first;
  return key >= added->first ? added : std::prev(added);
}

void CompactMap::insert(std::uint64_t key, std::uint64_t value) {
  auto leaf = leaf_to_insert(key);
  if (leaf->second->full()) leaf = split(leaf, key);
  const std::uint32_t at = distance(leaf->first, key);
  leaf->second->insert(leaf->second->count_up_to(at), at, value);
  ++size_;
}

std::optional<CompactMap::Pair> CompactMap::last() const {
  if (leaves_.empty()) return std::nullopt;
  const auto leaf = std::prev(leaves_.end());
  return pair_at(*leaf, leaf->second->count() - 1);
}

void CompactMap::append(std::uint64_t key, std::uint64_t value) {
  auto leaf = leaves_.empty() ? leaves_.end() : std::prev(leaves_.end());
  if (leaf == leaves_.end() || leaf->second->full() || key - leaf->first > farthest) {
    leaf = leaves_.emplace_hint(leaves_.end(), key, Leaf::make(Leaf::limit));
  }
  leaf->second->insert(leaf->second->count(), distance(leaf->first, key), value);
  ++size_;
}

void CompactMap::set_last(std::uint64_t value) {
  Leaf& leaf = *std::prev(leaves_.end())->second;
  leaf.set_value(leaf.count() - 1, value);
}

void CompactMap::set(std::uint64_t key, std::uint64_t value) {
  const auto leaf = leaf_for(key);
  leaf->second->set_value(leaf->second->count_up_to(distance(leaf->first, key)) - 1, value);
}

void CompactMap::erase(std::uint64_t key) {
  const auto leaf = leaf_for(key);
  leaf->second->erase(leaf->second->count_up_to(distance(leaf->first, key)) - 1);
  if (leaf->second->count() == 0) leaves_.erase(leaf);
  --size_;
}

}  // namespace dmsnap
