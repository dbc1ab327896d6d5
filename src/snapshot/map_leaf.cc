// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/map_leaf.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <new>

namespace dmsnap {

namespace {

template <typename Number>
void store(std::byte* to, std::uint64_t wide) {
  const auto number = static_cast<Number>(wide);
  std::memcpy(to, &number, sizeof number);
}

}  // namespace

void MapLeaf::Free::operator()(MapLeaf* leaf) const {
  if (!leaf->in_bulk_) std::free(leaf);
}

MapLeaf::MapLeaf(int bits, std::uint32_t capacity, bool wide_values, bool in_bulk)
    : bits_(static_cast<std::uint8_t>(bits)),
      value_bytes_(wide_values ? 8 : 4),
      capacity_(static_cast<std::uint16_t>(capacity)),
      in_bulk_(in_bulk) {
  if (has_bitmap()) {
    new (keys()) RankedBitmap();
  } else {
    std::memset(keys(), 0xff, keys_size(bits, capacity));
  }
}

MapLeaf::Ptr MapLeaf::make(int bits, std::uint32_t capacity, bool wide_values, std::pmr::memory_resource* bulk) {
  assert(bits >= narrowest && bits <= 64 && capacity <= limit(bits));
  const std::size_t value_bytes = wide_values ? 8 : 4;
  const std::size_t size = sizeof(MapLeaf) + keys_size(bits, capacity) + capacity * value_bytes;
  void* memory = bulk != nullptr ? bulk->allocate(size, alignof(MapLeaf)) : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return Ptr(new (memory) MapLeaf(bits, capacity, wide_values, bulk != nullptr));
}

MapLeaf::Ptr MapLeaf::of(std::span<const Pair> sorted, int bits, std::pmr::memory_resource* bulk) {
  const auto count = static_cast<std::uint32_t>(sorted.size());
  Ptr made = make(bits, count, std::ranges::any_of(sorted, is_wide, &Pair::value), bulk);
  if (made->has_bitmap()) {
    made->bitmap().assign(count, [&](std::uint32_t i) { return low(sorted[i].key); });
  } else {
    for (std::uint32_t i = 0; i < count; ++i) made->store_key(i, sorted[i].key);
  }
  std::byte* to = made->values();
  if (made->value_bytes_ == 4) {
    for (std::uint32_t i = 0; i < count; ++i) store<std::uint32_t>(to + i * 4, sorted[i].value);
  } else {
    for (std::uint32_t i = 0; i < count; ++i) store<std::uint64_t>(to + i * 8, sorted[i].value);
  }
  made->count_ = static_cast<std::uint16_t>(count);
  return made;
}

MapLeaf::Ptr MapLeaf::copy(std::uint32_t from, std::uint32_t to, int bits, std::uint32_t room) const {
  const std::uint32_t count = to - from;
  Ptr made = make(bits, std::min(limit(bits), count + room), value_bytes_ == 8);
  if (has_bitmap() && count == count_) {
    made->bitmap() = bitmap();
  } else {
    for (std::uint32_t i = 0; i < count; ++i) made->store_key(i, key(from + i));
  }
  std::memcpy(made->values(), values() + from * value_bytes_, count * value_bytes_);
  made->count_ = static_cast<std::uint16_t>(count);
  return made;
}

MapLeaf::Ptr MapLeaf::joined(const MapLeaf& above, std::uint64_t base) const {
  const bool wide = value_bytes_ == 8 || above.value_bytes_ == 8;
  Ptr made = make(bits_ + 1, std::min(limit(bits_ + 1), count_ + above.count_ + growth(count_)), wide);
  for (std::uint32_t at = 0; at < count_; ++at) made->append(base | key(at), value(at));
  const std::uint64_t upper = base + mask() + 1;
  for (std::uint32_t at = 0; at < above.count_; ++at) made->append(upper | above.key(at), above.value(at));
  return made;
}

MapLeaf::Ptr MapLeaf::widened() const {
  Ptr made = make(bits_, capacity_, true);
  std::memcpy(made->keys(), keys(), keys_size(bits_, capacity_));
  made->count_ = count_;
  for (std::uint32_t at = 0; at < count_; ++at) made->set_value(at, value(at));
  return made;
}

MapLeaf::Exact MapLeaf::at_short_key(Short key) const {
  const std::uint32_t below = search(key);
  return at(below, load<Short>(keys() + (below - (below > 0)) * sizeof key) == key, stored_keys * sizeof key);
}

std::uint64_t MapLeaf::key(std::uint32_t at) const {
  return has_bitmap() ? bitmap().nth(at) : stored_key(at);
}

void MapLeaf::set_value(std::uint32_t at, std::uint64_t value) {
  std::byte* to = values() + at * value_bytes_;
  value_bytes_ == 4 ? store<std::uint32_t>(to, value) : store<std::uint64_t>(to, value);
}

std::uint64_t MapLeaf::stored_key(std::uint32_t at) const {
  const std::byte* from = keys() + at * key_bytes();
  switch (key_bytes()) {
    case 2: return load<std::uint16_t>(from);
    case 4: return load<std::uint32_t>(from);
    default: return load<std::uint64_t>(from);
  }
}

void MapLeaf::store_key(std::uint32_t at, std::uint64_t key) {
  if (has_bitmap()) return bitmap().add(low(key));
  std::byte* to = keys() + at * key_bytes();
  switch (key_bytes()) {
    case 2: return store<std::uint16_t>(to, key);
    case 4: return store<std::uint32_t>(to, key);
    default: return store<std::uint64_t>(to, key);
  }
}

std::uint32_t MapLeaf::search_wide(std::uint64_t key) const {
  return bits_ <= 32 ? search(static_cast<std::uint32_t>(key)) : search(key);
}

void MapLeaf::insert(std::uint32_t at, std::uint64_t key, std::uint64_t value) {
  const std::uint32_t behind = count_ - at;
  if (!has_bitmap()) std::memmove(keys() + (at + 1) * key_bytes(), keys() + at * key_bytes(), behind * key_bytes());
  std::memmove(values() + (at + 1) * value_bytes_, values() + at * value_bytes_, behind * value_bytes_);
  store_key(at, key);
  set_value(at, value);
  ++count_;
}

void MapLeaf::erase(std::uint32_t at) {
  const std::uint32_t behind = --count_ - at;
  std::memmove(values() + at * value_bytes_, values() + (at + 1) * value_bytes_, behind * value_bytes_);
  if (has_bitmap()) return bitmap().remove(bitmap().nth(at));
  std::memmove(keys() + at * key_bytes(), keys() + (at + 1) * key_bytes(), behind * key_bytes());
  store_key(count_, ~std::uint64_t{0});
}

}  // namespace dmsnap
