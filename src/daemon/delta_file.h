// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/exported_file.h"

namespace dmsnap {

/// A part of an image, in bytes.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t end() const { return offset + length; }
};

/// What every file of `.dmsnap/delta/` is: made once, read-only, on no disk.
class MadeFile : public ExportedFile {
 public:
  MadeFile(std::uint64_t id, std::timespec made) : id_(id), made_(made) {}

  std::uint64_t id() const override { return id_; }
  bool writable() const override { return false; }
  std::timespec created() const override { return made_; }
  /// Only the daemon's user reads what may be nobody else's.
  Ownership owner() const override;
  std::error_code own(const Ownership& by) override;
  std::optional<std::error_code> try_write(std::uint64_t offset, std::span<const std::byte> data) override;
  std::error_code write(std::uint64_t offset, std::span<const std::byte> data) override;
  std::error_code zero(std::uint64_t offset, std::uint64_t bytes) override;
  Result<std::uint64_t> copy_from(ExportedFile& source, std::uint64_t from, std::uint64_t to,
                                  std::uint64_t bytes) override;
  void flush(Completion done) override { done({}); }

  /// Whether it was ever opened.
  bool was_opened() const { return was_opened_; }

 protected:
  void note_opened() { was_opened_ = true; }

 private:
  const std::uint64_t id_;
  const std::timespec made_;
  std::atomic<bool> was_opened_ = false;
};

/// As large as an image: its content in some ranges, holes elsewhere. Open, it keeps the image open; it does not keep
/// it otherwise.
class DeltaFile final : public MadeFile {
 public:
  /// `ranges` ascending, neighbours joined, inside the image.
  DeltaFile(std::uint64_t id, std::timespec made, const std::shared_ptr<ExportedFile>& image,
            std::vector<ByteRange> ranges);

  std::uint64_t size() const override { return size_; }
  std::uint64_t allocated_bytes() const override { return data_bytes_; }
  std::optional<std::error_code> try_read(std::uint64_t, std::span<std::byte>) override { return std::nullopt; }
  std::error_code read(std::uint64_t offset, std::span<std::byte> to) override EXCLUDES(mutex_);
  /// ENXIO behind the last data.
  Result<std::uint64_t> next_data(std::uint64_t offset) override;
  Result<std::uint64_t> next_hole(std::uint64_t offset) override;
  /// ESTALE when the image is gone.
  std::error_code opened() override EXCLUDES(mutex_);
  void closed() override EXCLUDES(mutex_);

  const std::vector<ByteRange>& ranges() const { return ranges_; }

 private:
  /// The first range that ends behind `offset`.
  std::vector<ByteRange>::const_iterator range_at(std::uint64_t offset) const;

  const std::weak_ptr<ExportedFile> image_;
  const std::uint64_t size_;
  const std::vector<ByteRange> ranges_;
  std::uint64_t data_bytes_ = 0;

  Mutex mutex_;
  std::shared_ptr<ExportedFile> kept_ GUARDED_BY(mutex_);  ///< while it is open
  std::uint64_t handles_ GUARDED_BY(mutex_) = 0;
};

/// The ranges of a DeltaFile as text, `offset length` a line.
class DeltaMapFile final : public MadeFile {
 public:
  DeltaMapFile(std::uint64_t id, std::timespec made, const std::vector<ByteRange>& ranges);

  std::uint64_t size() const override { return text_.size(); }
  std::uint64_t allocated_bytes() const override { return text_.size(); }
  std::optional<std::error_code> try_read(std::uint64_t offset, std::span<std::byte> to) override {
    return read(offset, to);
  }
  std::error_code read(std::uint64_t offset, std::span<std::byte> to) override;
  Result<std::uint64_t> next_data(std::uint64_t offset) override { return offset; }
  Result<std::uint64_t> next_hole(std::uint64_t /*offset*/) override { return text_.size(); }
  std::error_code opened() override;
  void closed() override {}

 private:
  std::string text_;
};

}  // namespace dmsnap
