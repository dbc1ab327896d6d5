// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>

#include "base/mutex.h"
#include "dmsnap/exported_file.h"
#include "snapshot/file_counters.h"
#include "snapshot/view.h"
#include "snapshot/waiting_writes.h"

namespace dmsnap {

class Flusher;

/// A view as a file: bytes become sectors, and a write that covers a sector in part reads it first.
class ViewFile final : public ExportedFile {
 public:
  struct Options {
    std::uint64_t id = 0;
    std::uint64_t size_bytes = 0;  ///< at most the view's; when it ends inside a sector the file must not be writable
    bool writable = true;
    FileKind kind = FileKind::snapshot;  ///< as which it is counted
    std::timespec created{};
    std::function<std::uint64_t()> allocated_bytes{};
    /// Of write() and zero(): with `refuse` they answer ENOSPC where there is no room.
    WithoutRoom without_room = WithoutRoom::give_up;
    WaitingWrites* waiting = nullptr;  ///< where writes wait for room; null: they do not. Needs `refuse`.
    Ownership owner{};
    std::function<std::error_code(const Ownership&)> record_owner{};  ///< durably
  };

  /// The view outlives it, and the file outlives what waits.
  ViewFile(View& view, Flusher& flusher, Options options);

  std::uint64_t id() const override { return options_.id; }
  std::uint64_t size() const override { return options_.size_bytes; }
  bool writable() const override { return options_.writable; }
  std::uint64_t allocated_bytes() const override { return options_.allocated_bytes(); }
  std::timespec created() const override { return options_.created; }

  Ownership owner() const override EXCLUDES(owner_mutex_);
  std::error_code own(const Ownership& by) override EXCLUDES(owner_mutex_);

  Outcome try_read(std::uint64_t offset, std::span<std::byte> to) override {
    return FileCounters::short_one(options_.kind, FileOperation::read, to.size(),
                                   [&] { return read(offset, to, Wait::no); });
  }
  Outcome try_write(std::uint64_t offset, std::span<const std::byte> data) override;
  std::error_code read(std::uint64_t offset, std::span<std::byte> to) override;
  std::error_code write(std::uint64_t offset, std::span<const std::byte> data) override;
  std::error_code zero(std::uint64_t offset, std::uint64_t bytes) override;
  void write_when_room(std::uint64_t offset, std::span<const std::byte> data, const Completion& done) override;
  void zero_when_room(std::uint64_t offset, std::uint64_t bytes, const Completion& done) override;
  /// The first and the last 4 KiB are always data, so that who copies what lies between holes touches both ends.
  Result<std::uint64_t> next_data(std::uint64_t offset) override;
  Result<std::uint64_t> next_hole(std::uint64_t offset) override;
  Result<std::uint64_t> copy_from(ExportedFile& source, std::uint64_t from, std::uint64_t to,
                                  std::uint64_t bytes) override;
  void flush(Completion done) override;

  std::error_code opened() override;
  void closed() override;
  /// Whether a handle is open. The front end tells of a close a moment after it.
  bool in_use() const EXCLUDES(handles_mutex_);
  /// Lets no handle be opened until revive(); false, and nothing is changed, while one is open.
  [[nodiscard]] bool retire();
  void revive();

 private:
  Outcome read(std::uint64_t offset, std::span<std::byte> to, Wait wait);
  Outcome write(std::uint64_t offset, std::span<const std::byte> data, Wait wait, WithoutRoom without_room);
  std::error_code zero_bytes(std::uint64_t offset, std::uint64_t bytes, WithoutRoom without_room);
  /// `done`, counted.
  Completion counted(FileOperation operation, std::uint64_t bytes, Completion done) const;
  /// Whether a write with this outcome is to wait for room.
  bool is_to_wait(std::error_code outcome) const;
  /// An outcome as the writer is told it.
  static std::error_code told(std::error_code outcome);
  void wait_for_room(std::error_code outcome, const WaitingWrites::Attempt& attempt, const Completion& done);
  std::uint64_t last_block() const;
  /// View::leading() from the sector of `offset` up to the last block: how far it goes.
  Result<std::uint64_t> end_of_leading(Content content, std::uint64_t offset);
  Outcome write_unaligned(std::uint64_t offset, std::span<const std::byte> data, Wait wait, WithoutRoom without_room);

  View& view_;
  Flusher& flusher_;
  const Options options_;

  /// Two writes to different bytes of one sector must not undo each other.
  Mutex unaligned_;

  mutable Mutex owner_mutex_;
  Ownership owner_ GUARDED_BY(owner_mutex_);

  mutable Mutex handles_mutex_;
  std::uint64_t handles_ GUARDED_BY(handles_mutex_) = 0;
  bool retired_ GUARDED_BY(handles_mutex_) = false;
};

}  // namespace dmsnap
