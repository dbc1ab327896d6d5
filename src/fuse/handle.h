// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <unordered_map>

#include "base/mutex.h"
#include "dmsnap/exported_file.h"
#include "fuse/libfuse.h"
#include "fuse/reply.h"

namespace dmsnap {

/// What stands behind one open file or folder. The kernel calls from several threads at once; each call answers its
/// reply, now or later. Gone means closed.
class Handle {
 public:
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  virtual ~Handle() = default;

  /// Of a folder: its entries.
  virtual void read(Reply reply, std::size_t size, std::uint64_t offset) = 0;
  virtual void write(Reply reply, std::span<const std::byte> data, std::uint64_t offset);
  /// Zeroes a range, and goes to where data or a hole begins: not supported where there is nothing of the kind.
  virtual void zero(Reply reply, std::uint64_t offset, std::uint64_t bytes);
  virtual void seek(Reply reply, std::uint64_t offset, int whence);
  /// Success where there is nothing to make durable.
  virtual void sync(Reply reply);
  /// Copies from another image: how much is answered. Not supported where there is nothing of the kind.
  virtual void copy(Reply reply, const std::shared_ptr<ExportedFile>& source, std::uint64_t from, std::uint64_t to,
                    std::uint64_t bytes);
  /// The size that the file has is set.
  virtual void size_set() {}
  /// A descriptor is being closed, whose close(2) waits for the answer. Done where there is nothing to wait for.
  virtual void close_descriptor(Reply reply);
  /// The image that is open; null for anything else.
  virtual std::shared_ptr<ExportedFile> image() const { return nullptr; }
  /// Whether its end may wait for something.
  virtual bool may_wait_to_close() const { return false; }
};

/// The open handles: fuse_file_info::fh refers to them. It owns them, since a mount that ends need not release what is
/// open: the last RELEASE is lost when its connection goes first.
class HandleTable {
 public:
  /// Answers the open.
  void answer_open(Reply reply, fuse_file_info& file, std::unique_ptr<Handle> handle) EXCLUDES(mutex_);
  /// Answers the open of a file that did not exist; false when nobody takes the answer.
  bool answer_create(Reply reply, const fuse_entry_param& entry, fuse_file_info& file, std::unique_ptr<Handle> handle)
      EXCLUDES(mutex_);
  /// Takes no lock: the kernel uses no handle after its release.
  static Handle& at(const fuse_file_info& file);
  void close(const fuse_file_info& file) EXCLUDES(mutex_);
  /// Once no request is in hand.
  void close_all() EXCLUDES(mutex_);

 private:
  void keep(fuse_file_info& file, std::unique_ptr<Handle> handle) EXCLUDES(mutex_);

  Mutex mutex_;
  std::unordered_map<const Handle*, std::unique_ptr<Handle>> open_ GUARDED_BY(mutex_);
};

/// Answers with the part of a finished content that was asked for.
void answer_part(Reply reply, std::span<const std::byte> content, std::size_t size, std::uint64_t offset);

}  // namespace dmsnap
