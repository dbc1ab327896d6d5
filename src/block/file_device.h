// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <string>

#include "base/unique_fd.h"
#include "dmsnap/block_device.h"

namespace dmsnap {

/// A regular file or a block device. It keeps one descriptor from before the first write to the end, since an error of
/// writeback is told to descriptors that were open then (fsync(2)); so a failed flush() is final.
class FileDevice final : public BlockDevice {
 public:
  /// Takes the descriptor of an opened file. Its size is that until resize(). When a file ends inside a sector, that
  /// sector reads with zeros behind the end; such a device must not be written. Throws std::system_error when the size
  /// cannot be told, and std::invalid_argument when it is neither a regular file nor a block device.
  explicit FileDevice(UniqueFd fd);

  /// Opens `path`; a block device that is to be written is opened exclusively (O_EXCL: nobody else has it mounted or
  /// claimed). Throws std::system_error with the path.
  static UniqueFd open(const std::string& path, bool read_only);

  int fd() const { return fd_.get(); }

  std::uint64_t sectors() const override { return (size_bytes() + sector_bytes - 1) / sector_bytes; }
  std::uint64_t size_bytes() const override { return size_bytes_.load(std::memory_order_acquire); }
  std::error_code read(Sector from, std::span<std::byte> to) override;
  std::optional<std::error_code> try_read(Sector from, std::span<std::byte> to) override;
  void read_ahead(Extent range) override;
  void write_out(Extent range) override;
  std::error_code write(Sector to, std::span<const std::byte> data) override;
  std::error_code flush() override;
  std::error_code reserve(Extent range) override;
  /// On a tmpfs, where each page is taken and cleared, little.
  std::uint64_t reserve_step_bytes() const override;
  void release(Extent range) override;
  void write_ahead(Extent range) override;
  std::error_code zero(Extent range) override;
  std::uint64_t leading(Content content, Extent range) const override;
  /// Of a block device: when its owner has made it so long.
  std::error_code resize(std::uint64_t sectors) override;
  std::uint64_t available_bytes() const override;
  std::uint64_t allocated_bytes() const override;

 private:
  /// Bytes of `count` from `offset` that lie in the file; the others, of the last sector, read as zeros.
  std::size_t inside(std::uint64_t offset, std::size_t count) const;

  const UniqueFd fd_;
  bool regular_ = false;
  bool in_memory_ = false;  // on a tmpfs: there is nothing to fetch
  std::atomic<std::uint64_t> size_bytes_ = 0;
  std::atomic<bool> nowait_unsupported_ = false;  // only a hint: a wrong guess costs one system call
  std::atomic<int> flush_errno_ = 0;              // of the first failed flush; the same answer for ever
};

}  // namespace dmsnap
