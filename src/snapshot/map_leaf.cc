// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/map_leaf.h"

#include <cassert>
#include <cstdlib>
#include <new>

namespace dmsnap {

namespace {

std::uint8_t bytes_for(int bits) {
  return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
}

template <typename Key>
std::uint64_t load(const std::byte* from) {
  Key key = 0;
  std::memcpy(&key, from, sizeof key);
  return key;
}

template <typename Key>
void store(std::byte* to, std::uint64_t wide) {
  const auto key = static_cast<Key>(wide);
  std::memcpy(to, &key, sizeof key);
}

}  // namespace

void MapLeaf::Free::operator()(MapLeaf* leaf) const {
  std::free(leaf);
}

MapLeaf::MapLeaf(int bits, std::uint32_t capacity)
    : bits_(static_cast<std::uint8_t>(bits)),
      key_bytes_(bytes_for(bits)),
      capacity_(static_cast<std::uint8_t>(capacity)) {
  std::memset(keys(), 0xff, keys_bytes(key_bytes_, capacity));
}

MapLeaf::Ptr MapLeaf::make(int bits, std::uint32_t capacity) {
  assert(capacity <= limit && bits >= narrowest && bits < 64);
  void* memory =
      std::malloc(sizeof(MapLeaf) + keys_bytes(bytes_for(bits), capacity) + capacity * sizeof(std::uint64_t));
  if (memory == nullptr) throw std::bad_alloc();
  return Ptr(new (memory) MapLeaf(bits, capacity));
}

MapLeaf::Ptr MapLeaf::copy(std::uint32_t from, std::uint32_t to, int bits, std::uint32_t room) const {
  const std::uint32_t count = to - from;
  Ptr made = make(bits, std::min(limit, count + room));
  if (made->key_bytes_ == key_bytes_) {
    std::memcpy(made->keys(), keys() + from * key_bytes_, count * key_bytes_);
  }
  // Keys that need fewer bits are stored less the bits that they now share.
  if (made->bits_ != bits_) {
    for (std::uint32_t i = 0; i < count; ++i) made->store_key(i, key(from + i) & made->mask());
  }
  std::memcpy(made->values(), values() + from * sizeof(std::uint64_t), count * sizeof(std::uint64_t));
  made->count_ = static_cast<std::uint8_t>(count);
  return made;
}

std::uint64_t MapLeaf::wide_key(std::uint32_t at) const {
  const std::byte* from = keys() + at * key_bytes_;
  switch (key_bytes_) {
    case 2: return load<std::uint16_t>(from);
    case 4: return load<std::uint32_t>(from);
    default: return load<std::uint64_t>(from);
  }
}

void MapLeaf::store_key(std::uint32_t at, std::uint64_t key) {
  std::byte* to = keys() + at * key_bytes_;
  switch (key_bytes_) {
    case 1: return store<std::uint8_t>(to, key);
    case 2: return store<std::uint16_t>(to, key);
    case 4: return store<std::uint32_t>(to, key);
    default: return store<std::uint64_t>(to, key);
  }
}

std::uint32_t MapLeaf::search_wide(std::uint64_t key) const {
  switch (key_bytes_) {
    case 2: return search(static_cast<std::uint16_t>(key));
    case 4: return search(static_cast<std::uint32_t>(key));
    default: return search(key);
  }
}

void MapLeaf::insert(std::uint32_t at, std::uint64_t key, std::uint64_t value) {
  const std::uint32_t behind = count_ - at;
  std::memmove(keys() + (at + 1) * key_bytes_, keys() + at * key_bytes_, behind * key_bytes_);
  std::memmove(values() + (at + 1) * sizeof value, values() + at * sizeof value, behind * sizeof value);
  store_key(at, key & mask());
  set_value(at, value);
  ++count_;
}

void MapLeaf::erase(std::uint32_t at) {
  --count_;
  const std::uint32_t behind = count_ - at;
  std::memmove(keys() + at * key_bytes_, keys() + (at + 1) * key_bytes_, behind * key_bytes_);
  std::memmove(values() + at * sizeof(std::uint64_t), values() + (at + 1) * sizeof(std::uint64_t),
               behind * sizeof(std::uint64_t));
  store_key(count_, ~std::uint64_t{0});
}

}  // namespace dmsnap
