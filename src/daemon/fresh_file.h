// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "dmsnap/exported_file.h"

namespace dmsnap {

/// A snapshot that a file operation has made, for whoever opens it until its maker has closed it. It shows the origin
/// as it was when it was made, and can become something else: what `cp A B` means is the content of A, not the copying.
///
///   fresh    nobody has changed anything. The first copy from an image of the same size, with equal offsets, makes the
///            whole file a clone of that image, as it is at that moment.
///   copying  the clone is shown, and nobody but this mount knows of it. Further copies from the same image at equal
///            offsets find done what they ask for; writes go to the clone. What was copied or written is noted. The
///            copy that reaches the end makes the name that of the clone, durably. When a descriptor is closed before,
///            or somebody wants durability, it was a copy of some parts: these are written into what was there at
///            first.
///   settled  a file like any other.
///
/// A maker who takes the file for an empty one and writes what it has read itself leaves holes out. If it shows the
/// file what the image shows in which it has looked for data, byte for byte, that is a copy as above, which is whole
/// when what was left out are holes there, too. Otherwise what was left out is zeroed when it closes the file.
///
/// After a crash a name whose file was fresh or copying is a snapshot of the origin. Any method, from any thread, at
/// once.
class FreshFile final : public ExportedFile {
 public:
  /// The set's part. Called with no lock held that a request for the file's content needs; may block.
  class Set {
   public:
    virtual ~Set() = default;
    /// A clone of the image with this id, as of now, which nobody else sees; null when there can be none.
    virtual std::shared_ptr<ExportedFile> clone(std::uint64_t source) = 0;
    /// The name is the clone's from now on, durably. An error: it is not.
    [[nodiscard]] virtual std::error_code keep_clone() = 0;
    virtual void drop_clone() = 0;
    /// Its content is not what it was: returns when nobody can read the old one from a cache.
    virtual void content_changed() = 0;
    /// The first data comes that is no copy of an image of the mount.
    virtual void written() = 0;
    /// The maker has closed it. `changed`: its content was changed by somebody.
    virtual void settled(bool changed) = 0;
  };

  /// `taken` is the snapshot that was made. `as_empty`: its maker takes it for an empty file (ExportedTree).
  FreshFile(std::shared_ptr<ExportedFile> taken, std::unique_ptr<Set> set, bool as_empty = false);

  std::uint64_t id() const override { return id_; }
  std::uint64_t size() const override { return size_; }
  bool writable() const override { return shown()->writable(); }
  std::uint64_t allocated_bytes() const override { return shown()->allocated_bytes(); }
  std::timespec created() const override { return shown()->created(); }
  Ownership owner() const override { return shown()->owner(); }
  std::error_code own(const Ownership& by) override EXCLUDES(shown_mutex_);

  std::optional<std::error_code> try_read(std::uint64_t offset, std::span<std::byte> to) override EXCLUDES(content_);
  std::optional<std::error_code> try_write(std::uint64_t offset, std::span<const std::byte> data) override
      EXCLUDES(content_);
  std::error_code read(std::uint64_t offset, std::span<std::byte> to) override EXCLUDES(content_);
  std::error_code write(std::uint64_t offset, std::span<const std::byte> data) override EXCLUDES(content_);
  std::error_code zero(std::uint64_t offset, std::uint64_t bytes) override EXCLUDES(content_);
  void write_when_room(std::uint64_t offset, std::span<const std::byte> data, const Completion& done) override
      EXCLUDES(content_);
  void zero_when_room(std::uint64_t offset, std::uint64_t bytes, const Completion& done) override EXCLUDES(content_);
  Result<std::uint64_t> next_data(std::uint64_t offset) override EXCLUDES(content_);
  Result<std::uint64_t> next_hole(std::uint64_t offset) override EXCLUDES(content_);
  Result<std::uint64_t> copy_from(ExportedFile& source, std::uint64_t from, std::uint64_t to,
                                  std::uint64_t bytes) override EXCLUDES(content_);
  void flush(Completion done) override EXCLUDES(content_);

  std::error_code opened() override EXCLUDES(shown_mutex_);
  void closed() override EXCLUDES(shown_mutex_);
  std::error_code maker_closes() override EXCLUDES(steps_);
  std::optional<std::error_code> maker_copies(ExportedFile& source, std::uint64_t offset, std::uint64_t bytes,
                                              std::span<const std::byte> data) override EXCLUDES(steps_);
  void maker_sets_size() override EXCLUDES(content_);
  void maker_closed() override EXCLUDES(steps_);

 private:
  enum class State { fresh, copying, settled };

  /// What a request goes to.
  std::shared_ptr<ExportedFile> shown() const EXCLUDES(shown_mutex_);
  /// The copy as a step of a clone; nothing: it is to be copied.
  std::optional<Result<std::uint64_t>> take_as_clone(std::uint64_t source, std::uint64_t at, std::uint64_t bytes)
      EXCLUDES(content_);
  /// The same where no step is to be made.
  bool is_there(std::uint64_t source, std::uint64_t at, std::uint64_t bytes) EXCLUDES(content_);
  bool become_clone(std::uint64_t source) REQUIRES(steps_) EXCLUDES(content_);
  std::error_code keep_clone() REQUIRES(steps_) EXCLUDES(content_);
  Result<std::uint64_t> copy(ExportedFile& source, std::uint64_t from, std::uint64_t to, std::uint64_t bytes)
      EXCLUDES(content_);
  State state() const EXCLUDES(content_);
  /// Ends a copying: what is noted is written into what was there at first.
  std::error_code settle_parts() REQUIRES(steps_) EXCLUDES(content_);
  std::error_code write_parts() REQUIRES(content_);
  /// settle_parts(), and zeroes what an unknowing maker has left out.
  std::error_code end_of_making() REQUIRES(steps_) EXCLUDES(content_);
  std::error_code zero_the_rest() REQUIRES(steps_) EXCLUDES(content_);
  /// What was neither copied nor written: beginning and end of each.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> left_out() EXCLUDES(parts_mutex_);
  bool left_out_are_holes() EXCLUDES(content_);
  void about_to_write() REQUIRES_SHARED(content_);
  void note(std::uint64_t at, std::uint64_t bytes) EXCLUDES(parts_mutex_);

  const std::uint64_t id_;
  const std::uint64_t size_;
  const std::unique_ptr<Set> set_;
  const bool as_empty_;

  /// One step from state to state at a time; before all other locks.
  Mutex steps_;

  /// Shared by requests, exclusive for what changes where they go.
  mutable SharedMutex content_;
  State state_ GUARDED_BY(content_) = State::fresh;
  std::uint64_t source_ GUARDED_BY(content_) = 0;  ///< of the clone
  std::atomic<bool> written_ = false;              ///< by something else than a copy that a clone makes needless
  std::atomic<bool> told_ = false;
  std::atomic<bool> by_hand_ = false;  ///< the first data was written, not asked to be copied

  mutable Mutex shown_mutex_;
  std::shared_ptr<ExportedFile> taken_ GUARDED_BY(shown_mutex_);  ///< null once the clone has its name
  std::shared_ptr<ExportedFile> clone_ GUARDED_BY(shown_mutex_);
  std::uint64_t handles_ GUARDED_BY(shown_mutex_) = 0;

  Mutex parts_mutex_;
  std::map<std::uint64_t, std::uint64_t> parts_ GUARDED_BY(parts_mutex_);  ///< beginning and end

  Mutex flushes_mutex_;
  std::vector<std::jthread> flushes_ GUARDED_BY(flushes_mutex_);  // last: they use all of the above
};

}  // namespace dmsnap
