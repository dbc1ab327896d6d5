// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "dmsnap/result.h"

namespace dmsnap {

/// Who owns a file, and who may do what with it: the nine bits of read, write, execute.
struct Ownership {
  uid_t user = 0;
  gid_t group = 0;
  mode_t mode = 0600;
  bool operator==(const Ownership&) const = default;
};

/// One image that the mount shows. Offsets and sizes are bytes. Any method, from any thread, at once.
/// Ranges lie inside the file: who calls has cut or refused what does not.
class ExportedFile {
 public:
  virtual ~ExportedFile() = default;

  /// Never used again for another file while the mount lives; at least 16. Serves as inode number.
  virtual std::uint64_t id() const = 0;
  virtual std::uint64_t size() const = 0;
  virtual bool writable() const = 0;
  /// Bytes taken on disk: what st_blocks tells.
  virtual std::uint64_t allocated_bytes() const = 0;
  virtual std::timespec created() const = 0;
  virtual Ownership owner() const = 0;
  /// `chown`, `chmod`; durable on return. May block.
  [[nodiscard]] virtual std::error_code own(const Ownership& by) = 0;

  /// Reads or writes here and now when that needs no waiting: no disk, no room in a buffer. Otherwise nothing has
  /// happened, and the caller asks again with the blocking form when it can afford to wait.
  [[nodiscard]] virtual std::optional<std::error_code> try_read(std::uint64_t offset, std::span<std::byte> to) = 0;
  [[nodiscard]] virtual std::optional<std::error_code> try_write(std::uint64_t offset,
                                                                 std::span<const std::byte> data) = 0;
  [[nodiscard]] virtual std::error_code read(std::uint64_t offset, std::span<std::byte> to) = 0;
  [[nodiscard]] virtual std::error_code write(std::uint64_t offset, std::span<const std::byte> data) = 0;

  /// Makes the range read as zeros, giving its space back where that can be done; acknowledged as a write is. May
  /// block.
  [[nodiscard]] virtual std::error_code zero(std::uint64_t offset, std::uint64_t bytes) = 0;

  /// As write() and zero(), but a file whose writers wait for room on a full store lets them do so without a thread:
  /// `done` runs with the outcome, on another thread at some time, or before the call returns. `data` may go on return.
  virtual void write_when_room(std::uint64_t offset, std::span<const std::byte> data, const Completion& done) {
    done(write(offset, data));
  }
  virtual void zero_when_room(std::uint64_t offset, std::uint64_t bytes, const Completion& done) {
    done(zero(offset, bytes));
  }

  /// The first byte from `offset`, inside the file, on that may be no zero, and the first that is known to begin a run
  /// of zeros; the end of the file when there is none. What is written meanwhile may be seen or not. May block.
  [[nodiscard]] virtual Result<std::uint64_t> next_data(std::uint64_t offset) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> next_hole(std::uint64_t offset) = 0;

  /// Copies from an image of the same tree, maybe itself, if the ranges lie apart: the beginning of the range, as much
  /// as it likes. How many bytes, at least one; an error when there is none. Holes of the source become zeros that take
  /// no space. What is written there meanwhile may be copied or not. May block.
  [[nodiscard]] virtual Result<std::uint64_t> copy_from(ExportedFile& source, std::uint64_t from, std::uint64_t to,
                                                        std::uint64_t bytes) = 0;

  /// Returns at once. `done` runs when every write that was answered before this call is on stable storage, with all
  /// that is needed to find it again; on the flush thread or on the caller's.
  virtual void flush(Completion done) = 0;

  /// The front end tells of each open handle, so that a file in use is not removed: EBUSY when that is under way.
  [[nodiscard]] virtual std::error_code opened() = 0;
  virtual void closed() = 0;

  /// Of the handle that a file was made with: a descriptor of it is being closed, and close(2) waits for the outcome;
  /// the last one is, after closed(). May block.
  [[nodiscard]] virtual std::error_code maker_closes() { return {}; }
  /// The maker, who has looked for the data of `source` before, writes `data`, or zeros (`bytes` of them, when there is
  /// no data). Nothing: it is to be written as anything else. May block.
  [[nodiscard]] virtual std::optional<std::error_code> maker_copies(ExportedFile& /*source*/, std::uint64_t /*offset*/,
                                                                    std::uint64_t /*bytes*/,
                                                                    std::span<const std::byte> /*data*/) {
    return std::nullopt;
  }
  /// The maker sets the size that the file has: of a file that it takes for empty that makes one hole. Never
  /// blocks.
  virtual void maker_sets_size() {}
  virtual void maker_closed() {}
};

/// What a mount shows, beside the folders themselves. Any method, from any thread, at once.
class ExportedTree {
 public:
  virtual ~ExportedTree() = default;

  virtual std::shared_ptr<ExportedFile> origin() = 0;
  /// Null when there is none of that name.
  virtual std::shared_ptr<ExportedFile> snapshot(std::string_view name) = 0;
  virtual std::vector<std::string> snapshot_names() = 0;
  /// `touch snapshots/NAME`: a snapshot of the origin, as this moment shows it, with what the set takes for granted.
  /// EINVAL: no name; EEXIST: taken; EROFS, ENOSPC; what else is in the way is EBUSY, and logged. The file has not been
  /// told opened(); who has made it tells it maker_closed() in any case. May block.
  /// `as_empty`: the maker takes it for an empty file (O_EXCL), so what it leaves out of the data that it writes itself
  /// is to read as zeros once it has closed it.
  virtual Result<std::shared_ptr<ExportedFile>> make_snapshot(std::string_view name, bool as_empty) = 0;
  /// `mv snapshots/NAME snapshots/TO`. The file stays the same, open or not. EEXIST: a snapshot is never replaced; for
  /// the rest as make_snapshot(). May block.
  [[nodiscard]] virtual std::error_code rename_snapshot(std::string_view name, std::string_view to) = 0;
  /// `rm snapshots/NAME`. May block. EBUSY while the file is open.
  [[nodiscard]] virtual std::error_code remove_snapshot(std::string_view name) = 0;

  /// The text files of `.dmsnap/`, made anew at each open: "status", "status.json".
  virtual std::vector<std::string> text_names() = 0;
  virtual std::string text(std::string_view name) = 0;

  /// A file of `.dmsnap/delta/`: where a snapshot differs, made when it is looked for, read-only. ENOENT when there is
  /// none of that name. May block.
  virtual Result<std::shared_ptr<ExportedFile>> delta(std::string_view name);
  /// Those that a listing shows; there are more.
  virtual std::vector<std::string> delta_names() { return {}; }

  /// `df`: the filesystem below the store.
  [[nodiscard]] virtual std::error_code statfs(struct statvfs& into) = 0;

  /// No request comes any more and nobody waits for an answer: those that wait for something are answered on return.
  virtual void connection_ended() {}
};

inline Result<std::shared_ptr<ExportedFile>> ExportedTree::delta(std::string_view /*name*/) {
  return failure(std::make_error_code(std::errc::no_such_file_or_directory));
}

}  // namespace dmsnap
