// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "block/memory_device.h"
#include "dmsnap/exception_store.h"
#include "store/area_layout.h"
#include "store/disk_format.h"
#include "store/metadata_writer.h"

namespace dmsnap::test {

/// A store in memory, written straight in its format, and what can happen to it.
class DamagedStore {
 public:
  DamagedStore(std::uint32_t chunk_sectors, std::uint64_t cow_chunks)
      : geometry_(chunk_sectors),
        layout_(geometry_, geometry_.sectors_of(cow_chunks)),
        device_(std::make_unique<MemoryDevice>(geometry_.sectors_of(cow_chunks))) {}

  MemoryDevice& device() { return *device_; }
  const ChunkGeometry& geometry() const { return geometry_; }
  const AreaLayout& layout() const { return layout_; }
  std::uint64_t entries() const { return written_; }

  /// A sound list; every data chunk holds bytes of its own.
  void write(const std::vector<ExceptionRun>& runs, bool valid = true) {
    MetadataWriter writer(*device_, geometry_);
    std::vector<disk::Entry> list;
    for (const ExceptionRun& run : runs) {
      for (std::uint64_t i = 0; i < run.length; ++i) {
        list.push_back({le64((run.origin + i).value()), le64((run.copy + i).value())});
        const std::vector<std::byte> data(geometry_.chunk_bytes(), static_cast<std::byte>((run.copy + i).value() | 1));
        must(device_->write(geometry_.first_sector(run.copy + i), data));
      }
    }
    must(writer.write_header(valid));
    must(writer.append({}, list));
    written_ = list.size();
  }

  /// The byte of an entry on the device.
  std::uint64_t byte_of(std::uint64_t entry) const {
    return geometry_.first_sector(layout_.area(entry / layout_.entries())).value() * sector_bytes +
           entry % layout_.entries() * sizeof(disk::Entry);
  }
  void redirect(std::uint64_t entry, std::uint64_t old_chunk, std::uint64_t new_chunk) {
    change(byte_of(entry), [&](std::span<std::byte> bytes) {
      disk::pack_entry({le64(old_chunk), le64(new_chunk)}, bytes, 0);
    });
  }
  disk::Entry entry(std::uint64_t number) {
    disk::Entry found{};
    change(byte_of(number), [&](std::span<std::byte> bytes) { found = disk::unpack_entry(bytes, 0); });
    return found;
  }
  void duplicate(std::uint64_t from, std::uint64_t over) {
    const disk::Entry source = entry(from);
    redirect(over, source.old_chunk.value(), source.new_chunk.value());
  }
  void flip(std::uint64_t byte, unsigned bit) {
    change(byte, [&](std::span<std::byte> bytes) { bytes[0] ^= std::byte{1} << bit; });
  }
  void truncate(std::uint64_t cow_chunks) {
    auto shorter = std::make_unique<MemoryDevice>(geometry_.sectors_of(cow_chunks));
    std::vector<std::byte> all(geometry_.sectors_of(cow_chunks) * sector_bytes);
    must(device_->read(Sector(0), all));
    must(shorter->write(Sector(0), all));
    device_ = std::move(shorter);
    layout_ = AreaLayout(geometry_, device_->sectors());
  }

  std::unique_ptr<MemoryDevice> copy() {
    auto same = std::make_unique<MemoryDevice>(device_->sectors());
    std::vector<std::byte> all(device_->sectors() * sector_bytes);
    must(device_->read(Sector(0), all));
    must(same->write(Sector(0), all));
    return same;
  }

  /// One thing at random, somewhere in header and list.
  void harm(std::mt19937_64& random) {
    const std::uint64_t victim = random() % (written_ + 2);
    if (!layout_.area_exists(victim / layout_.entries())) return;
    switch (random() % 7) {
      case 0: return flip(byte_of(victim) + random() % sizeof(disk::Entry), static_cast<unsigned>(random() % 8));
      case 1: return duplicate(random() % (victim + 1), victim);
      case 2: return redirect(victim, random() % 64, random() % (layout_.chunks() + 4));
      case 3: return redirect(victim, random(), random());
      case 4: return redirect(victim, 0, 0);
      case 5: return flip(random() % sizeof(disk::Header), static_cast<unsigned>(random() % 8));
      default: return truncate(3 + random() % (layout_.chunks() - 2));
    }
  }

 private:
  static void must(std::error_code error) {
    if (error) throw std::system_error(error);
  }
  template <class Change>
  void change(std::uint64_t byte, const Change& change) {
    const Sector sector(byte / sector_bytes);
    std::vector<std::byte> bytes(sector_bytes);
    must(device_->read(sector, bytes));
    change(std::span(bytes).subspan(byte % sector_bytes));
    must(device_->write(sector, bytes));
  }

  ChunkGeometry geometry_;
  AreaLayout layout_;
  std::unique_ptr<MemoryDevice> device_;
  std::uint64_t written_ = 0;
};

}  // namespace dmsnap::test
