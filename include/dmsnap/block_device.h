// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <system_error>

#include "dmsnap/units.h"

namespace dmsnap {

/// What is known of a range: a hole reads as zeros for as long as nobody writes to it, data reads as anything.
enum class Content { hole, data };

/// A fixed-size array of sectors. Every method may be called from any thread at once.
///
/// Spans are whole sectors. A range that does not lie on the device fails with EIO, and nothing of it
/// is read or written: a device never grows by a write. Two calls at once on one sector leave it as
/// either of them would.
class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  /// Size; constant but for resize().
  virtual std::uint64_t sectors() const = 0;
  /// The size as a file's, which may end inside the last sector.
  virtual std::uint64_t size_bytes() const { return sectors() * sector_bytes; }

  /// Fills all of `to` or fails; then `to` holds anything. May block on the disk.
  [[nodiscard]] virtual std::error_code read(Sector from, std::span<std::byte> to) = 0;

  /// As read(), but gives std::nullopt where it would have to wait for the disk (preadv2, RWF_NOWAIT).
  [[nodiscard]] virtual std::optional<std::error_code> try_read(Sector from, std::span<std::byte> to) {
    return read(from, to);
  }

  /// It will be read soon: a device on a disk starts to fetch it and returns. A hint, without an outcome.
  virtual void read_ahead(Extent) {}

  /// Writes all of `data` or fails; after a failure each sector of the range is old or new.
  [[nodiscard]] virtual std::error_code write(Sector to, std::span<const std::byte> data) = 0;

  /// It was written, and will be flushed soon: a device on a disk starts to write it out and returns. A hint, without
  /// an outcome.
  virtual void write_out(Extent) {}

  /// Returns once every write that completed before this call is on stable storage. After one failure
  /// every later flush fails too: what is on the disk is unknown from then on (fsync(2), ERRORS).
  [[nodiscard]] virtual std::error_code flush() = 0;

  /// Takes the space of the range below, so that writes to it cannot fail for want of it; the content stays.
  /// ENOSPC when there is none. Devices without holes succeed.
  [[nodiscard]] virtual std::error_code reserve(Extent) { return {}; }

  /// How much to reserve at once: much where that costs hardly more than little, so that it is asked for rarely.
  virtual std::uint64_t reserve_step_bytes() const { return 64 << 20; }

  /// Gives back what reserve() has taken for the range, whose content nobody needs; it reads as anything afterwards. A
  /// device that cannot does nothing.
  virtual void release(Extent) {}

  /// Makes a later write and flush of the range, which is reserved and whose content nobody needs, change nothing but
  /// data: on ext4 and XFS the first write to a block that was only reserved costs the flush a commit of the journal.
  /// It reads as anything afterwards. A hint, without an outcome.
  virtual void write_ahead(Extent) {}

  /// Makes the range read as zeros, giving its space back where the device can. After a failure each sector of it is
  /// old or zeros. Durable as a write is.
  [[nodiscard]] virtual std::error_code zero(Extent range);

  /// How many sectors from the start of a range on the device are a hole, or are data. That all is data is always
  /// right; a sector that is not being written is in one of the two. May take long with `data`: a file on a tmpfs is
  /// looked through page by page.
  virtual std::uint64_t leading(Content content, Extent range) const { return unknown(content, range); }
  /// leading() of what nobody has looked at.
  static constexpr std::uint64_t unknown(Content content, Extent range) {
    return content == Content::data ? range.sectors : 0;
  }

  /// Makes it so long, or not: what lies behind the new end is gone, what is new reads as zeros. Durable after the next
  /// flush(). Nobody uses what lies behind the new end. EOPNOTSUPP where its length is not ours to change.
  [[nodiscard]] virtual std::error_code resize(std::uint64_t sectors) {
    return std::make_error_code(sectors == this->sectors() ? std::errc() : std::errc::operation_not_supported);
  }

  /// Bytes that reserve() could still take on the storage below; the largest number when nothing limits it.
  virtual std::uint64_t available_bytes() const { return std::numeric_limits<std::uint64_t>::max(); }

  /// Bytes really taken on the storage below (st_blocks * 512).
  virtual std::uint64_t allocated_bytes() const { return sectors() * sector_bytes; }
};

}  // namespace dmsnap
