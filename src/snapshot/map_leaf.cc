// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/map_leaf.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <new>

namespace dmsnap {

namespace {

std::uint8_t bytes_for(int bits) {
  return bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
}

template <typename Number>
void store(std::byte* to, std::uint64_t wide) {
  const auto number = static_cast<Number>(wide);
  std::memcpy(to, &number, sizeof number);
}

}  // namespace

void MapLeaf::Free::operator()(MapLeaf* leaf) const {
  std::free(leaf);
}

MapLeaf::MapLeaf(int bits, std::uint32_t capacity, bool wide_values)
    : bits_(static_cast<std::uint8_t>(bits)),
      key_bytes_(bytes_for(bits)),
      value_bytes_(wide_values ? 8 : 4),
      capacity_(static_cast<std::uint8_t>(capacity)) {
  std::memset(keys(), 0xff, keys_bytes(key_bytes_, capacity));
}

MapLeaf::Ptr MapLeaf::make(int bits, std::uint32_t capacity, bool wide_values) {
  assert(capacity <= limit && bits >= narrowest && bits <= 64);
  const std::size_t value_bytes = wide_values ? 8 : 4;
  void* memory = std::malloc(sizeof(MapLeaf) + keys_bytes(bytes_for(bits), capacity) + capacity * value_bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return Ptr(new (memory) MapLeaf(bits, capacity, wide_values));
}

MapLeaf::Ptr MapLeaf::copy(std::uint32_t from, std::uint32_t to, int bits, std::uint32_t room) const {
  const std::uint32_t count = to - from;
  Ptr made = make(bits, std::min(limit, count + room), value_bytes_ == 8);
  if (made->key_bytes_ == key_bytes_) {
    std::memcpy(made->keys(), keys() + from * key_bytes_, count * key_bytes_);
  } else {
    for (std::uint32_t i = 0; i < count; ++i) made->store_key(i, key(from + i));
  }
  std::memcpy(made->values(), values() + from * value_bytes_, count * value_bytes_);
  made->count_ = static_cast<std::uint8_t>(count);
  return made;
}

MapLeaf::Ptr MapLeaf::joined(const MapLeaf& above, std::uint64_t base) const {
  const bool wide = value_bytes_ == 8 || above.value_bytes_ == 8;
  Ptr made = make(bits_ + 1, std::min(limit, count_ + above.count_ + growth), wide);
  for (std::uint32_t at = 0; at < count_; ++at) made->append(base | key(at), value(at));
  const std::uint64_t upper = base + mask() + 1;
  for (std::uint32_t at = 0; at < above.count_; ++at) made->append(upper | above.key(at), above.value(at));
  return made;
}

MapLeaf::Ptr MapLeaf::widened() const {
  Ptr made = make(bits_, capacity_, true);
  std::memcpy(made->keys(), keys(), count_ * key_bytes_);
  made->count_ = count_;
  for (std::uint32_t at = 0; at < count_; ++at) made->set_value(at, value(at));
  return made;
}

void MapLeaf::set_value(std::uint32_t at, std::uint64_t value) {
  std::memcpy(values() + at * value_bytes_, &value, value_bytes_);
}

std::uint64_t MapLeaf::wide_key(std::uint32_t at) const {
  const std::byte* from = keys() + at * key_bytes_;
  return key_bytes_ == 4 ? load<std::uint32_t>(from) : load<std::uint64_t>(from);
}

std::uint64_t MapLeaf::wide_value(std::uint32_t at) const {
  const std::byte* from = values() + at * value_bytes_;
  return value_bytes_ == 4 ? load<std::uint32_t>(from) : load<std::uint64_t>(from);
}

std::uint64_t MapLeaf::wide_distance(std::uint32_t at, std::uint64_t key) const {
  return (key & mask()) - (wide_key(at) & mask());
}

void MapLeaf::store_key(std::uint32_t at, std::uint64_t key) {
  std::byte* to = keys() + at * key_bytes_;
  switch (key_bytes_) {
    case 2: return store<std::uint16_t>(to, key);
    case 4: return store<std::uint32_t>(to, key);
    default: return store<std::uint64_t>(to, key);
  }
}

std::uint32_t MapLeaf::search_wide(std::uint64_t key) const {
  return key_bytes_ == 4 ? search(static_cast<std::uint32_t>(key)) : search(key);
}

void MapLeaf::insert(std::uint32_t at, std::uint64_t key, std::uint64_t value) {
  const std::uint32_t behind = count_ - at;
  std::memmove(keys() + (at + 1) * key_bytes_, keys() + at * key_bytes_, behind * key_bytes_);
  std::memmove(values() + (at + 1) * value_bytes_, values() + at * value_bytes_, behind * value_bytes_);
  store_key(at, key);
  set_value(at, value);
  ++count_;
}

void MapLeaf::erase(std::uint32_t at) {
  --count_;
  const std::uint32_t behind = count_ - at;
  std::memmove(keys() + at * key_bytes_, keys() + (at + 1) * key_bytes_, behind * key_bytes_);
  std::memmove(values() + at * value_bytes_, values() + (at + 1) * value_bytes_, behind * value_bytes_);
  store_key(count_, ~std::uint64_t{0});
}

}  // namespace dmsnap
