// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "base/system_error.h"
#include "block/memory_device.h"
#include "dmsnap/block_device.h"

namespace dmsnap::test {

/// A device in memory that knows what a power cut could leave of it: for each sector what was flushed last, and every
/// version written since. One thread. `moment`, if any, is called before each write and each flush takes effect: a
/// crash there is one that the code under test does not see coming.
class CrashingDevice final : public BlockDevice {
 public:
  using Sector512 = std::array<std::byte, sector_bytes>;
  enum class Cut {
    kill,   ///< the process dies: everything written stays
    least,  ///< the power goes: nothing stays but what was flushed
    any,    ///< the power goes: of each sector any version since the flush
  };

  explicit CrashingDevice(std::uint64_t sectors) : flushed_(sectors) {}

  std::function<void()> moment;

  std::uint64_t sectors() const override { return flushed_.size(); }

  std::error_code read(Sector from, std::span<std::byte> to) override {
    for (std::uint64_t i = 0; i < to.size() / sector_bytes; ++i) {
      const std::uint64_t sector = from.value() + i;
      if (sector >= sectors()) return errc(std::errc::io_error);
      std::memcpy(to.data() + i * sector_bytes, latest(sector).data(), sector_bytes);
    }
    return {};
  }

  std::error_code write(Sector to, std::span<const std::byte> data) override {
    if (to.value() + data.size() / sector_bytes > sectors()) return errc(std::errc::io_error);
    // `moment` may run an engine of its own on this thread, which uses the same buffers: the data is taken first.
    std::vector<Sector512> versions(data.size() / sector_bytes);
    for (std::size_t i = 0; i < versions.size(); ++i) {
      std::memcpy(versions[i].data(), data.data() + i * sector_bytes, sector_bytes);
    }
    if (moment) moment();
    for (std::size_t i = 0; i < versions.size(); ++i) since_[to.value() + i].push_back(versions[i]);
    return {};
  }

  /// Anything may stand there then.
  void write_ahead(Extent range) override {
    const std::vector<std::byte> anything(range.sectors * sector_bytes, std::byte{0xa5});
    if (write(range.first, anything)) std::abort();
  }

  /// What is zeros is a hole.
  std::uint64_t leading(Content content, Extent range) const override {
    std::uint64_t count = 0;
    for (; count < range.sectors; ++count) {
      const bool zeros = latest((range.first + count).value()) == Sector512{};
      if (zeros != (content == Content::hole)) break;
    }
    return count;
  }

  std::error_code flush() override {
    if (moment) moment();
    for (const auto& [sector, versions] : since_) flushed_[sector] = versions.back();
    since_.clear();
    return {};
  }

  /// What a machine finds after the cut; this device goes on.
  std::unique_ptr<MemoryDevice> after(Cut cut, std::mt19937_64& random) const {
    auto found = std::make_unique<MemoryDevice>(sectors());
    for (std::uint64_t sector = 0; sector < sectors(); ++sector) {
      const Sector512* content = &flushed_[sector];
      if (const auto written = since_.find(sector); written != since_.end()) {
        const auto& versions = written->second;
        const std::uint64_t pick = cut == Cut::any ? random() % (versions.size() + 1) : 0;
        if (cut == Cut::kill) content = &versions.back();
        if (pick > 0) content = &versions[pick - 1];
      }
      if (found->write(Sector(sector), *content)) std::abort();
    }
    return found;
  }

 private:
  const Sector512& latest(std::uint64_t sector) const {
    const auto written = since_.find(sector);
    return written == since_.end() ? flushed_[sector] : written->second.back();
  }

  std::vector<Sector512> flushed_;
  std::map<std::uint64_t, std::vector<Sector512>> since_;
};

}  // namespace dmsnap::test
