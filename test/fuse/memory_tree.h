// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/system_error.h"
#include "dmsnap/exported_file.h"

namespace dmsnap::test {

/// Holds up whoever passes while it is shut.
class Gate {
 public:
  void shut() { set(true); }
  void open() { set(false); }
  void pass() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(mutex_, [this]() NO_THREAD_SAFETY_ANALYSIS { return !shut_; });
    --waiting_;
    changed_.notify_all();
  }
  /// Blocks until exactly this many are held up.
  void await_waiting(unsigned count) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    changed_.wait(mutex_, [this, count]() NO_THREAD_SAFETY_ANALYSIS { return shut_ && waiting_ == count; });
  }

 private:
  void set(bool shut) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    shut_ = shut;
    changed_.notify_all();
  }

  Mutex mutex_;
  CondVar changed_;
  bool shut_ GUARDED_BY(mutex_) = false;
  unsigned waiting_ GUARDED_BY(mutex_) = 0;
};

/// Shut for as long as it lives: a test that fails leaves nobody behind it.
class [[nodiscard]] HeldUp {
 public:
  explicit HeldUp(Gate& gate) : gate_(gate) { gate_.shut(); }
  HeldUp(const HeldUp&) = delete;
  HeldUp& operator=(const HeldUp&) = delete;
  ~HeldUp() { gate_.open(); }

 private:
  Gate& gate_;
};

/// An image in memory. With `declines` set nothing is done here and now, and the blocking forms pass `gate` first; so
/// does a flush, on a thread of its own.
class MemoryFile final : public ExportedFile {
 public:
  MemoryFile(std::uint64_t id, std::size_t size, bool writable, Gate& gate)
      : id_(id), writable_(writable), gate_(gate), bytes_(size) {}

  std::uint64_t id() const override { return id_; }
  std::uint64_t size() const override { return bytes_.size(); }
  bool writable() const override { return writable_; }
  std::uint64_t allocated_bytes() const override { return 4096; }
  Ownership owner() const override { return {.user = user, .group = group, .mode = mode}; }
  std::error_code own(const Ownership& by) override {
    if (const auto why = take_failure()) return why;
    user = by.user;
    group = by.group;
    mode = by.mode;
    return {};
  }
  std::timespec created() const override { return {.tv_sec = 1'000'000'000, .tv_nsec = 5}; }

  std::optional<std::error_code> try_read(std::uint64_t offset, std::span<std::byte> to) override {
    if (declines) return std::nullopt;
    return copy_out(offset, to);
  }
  std::optional<std::error_code> try_write(std::uint64_t offset, std::span<const std::byte> data) override {
    if (declines) return std::nullopt;
    return copy_in(offset, data);
  }
  std::error_code read(std::uint64_t offset, std::span<std::byte> to) override {
    gate_.pass();
    return copy_out(offset, to);
  }
  std::error_code write(std::uint64_t offset, std::span<const std::byte> data) override {
    gate_.pass();
    return copy_in(offset, data);
  }

  std::error_code zero(std::uint64_t offset, std::uint64_t bytes) override {
    gate_.pass();
    return copy_in(offset, std::vector<std::byte>(bytes));
  }
  void write_when_room(std::uint64_t offset, std::span<const std::byte> data, const Completion& done) override {
    ++that_may_wait;
    done(write(offset, data));
  }
  void zero_when_room(std::uint64_t offset, std::uint64_t bytes, const Completion& done) override {
    ++that_may_wait;
    done(zero(offset, bytes));
  }
  /// Each zero is a hole.
  Result<std::uint64_t> next_data(std::uint64_t offset) override { return next(offset, false); }
  Result<std::uint64_t> next_hole(std::uint64_t offset) override { return next(offset, true); }

  /// At most a hundred bytes at once.
  Result<std::uint64_t> copy_from(ExportedFile& source, std::uint64_t from, std::uint64_t to,
                                  std::uint64_t bytes) override {
    std::vector<std::byte> buffer(std::min<std::uint64_t>(bytes, 100));
    if (const auto why = source.read(from, buffer)) return failure(why);
    if (const auto why = copy_in(to, buffer)) return failure(why);
    return buffer.size();
  }

  void flush(Completion done) override {
    ++flushes;
    if (!declines) return done(take_failure());
    MutexLock lock(mutex_);
    flusher_ = std::jthread([this, done = std::move(done)] {
      gate_.pass();
      done(take_failure());
    });
  }

  std::error_code opened() override {
    ++handles;
    return {};
  }
  void closed() override { --handles; }
  std::error_code maker_closes() override {
    ++maker_closings;
    return take_failure();
  }
  std::optional<std::error_code> maker_copies(ExportedFile& source, std::uint64_t /*offset*/, std::uint64_t /*bytes*/,
                                              std::span<const std::byte> /*data*/) override {
    copied_from = source.id();
    return std::nullopt;
  }
  void maker_closed() override {
    gate_.pass();
    made = false;
  }

  /// The next operation fails so, once.
  void fail_next(std::error_code why) {
    MutexLock lock(mutex_);
    failure_ = why;
  }
  /// Behind the mount's back.
  std::string content(std::size_t offset, std::size_t size) {
    std::string text(size, '\0');
    [[maybe_unused]] const auto why = copy_out(offset, std::as_writable_bytes(std::span(text)));
    return text;
  }
  void set_content(std::size_t offset, std::string_view text) {
    [[maybe_unused]] const auto why = copy_in(offset, std::as_bytes(std::span(text)));
  }

  std::atomic<bool> declines = false;
  std::atomic<unsigned> flushes = 0;
  std::atomic<int> that_may_wait = 0;  ///< write_when_room(), zero_when_room()
  std::atomic<int> handles = 0;
  std::atomic<uid_t> user = ::getuid();
  std::atomic<gid_t> group = ::getgid();
  std::atomic<mode_t> mode = 0600;
  std::atomic<int> maker_closings = 0;
  std::atomic<bool> as_empty = false;
  /// What maker_copies() was told of, of the last time.
  std::atomic<std::uint64_t> copied_from = 0;
  std::atomic<bool> made = false;  ///< and not told maker_closed() yet

 private:
  std::error_code take_failure() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return std::exchange(failure_, {});
  }
  std::error_code copy_out(std::uint64_t offset, std::span<std::byte> to) EXCLUDES(bytes_mutex_) {
    if (const auto why = take_failure()) return why;
    ReadLock lock(bytes_mutex_);
    std::memcpy(to.data(), bytes_.data() + offset, to.size());
    return {};
  }
  Result<std::uint64_t> next(std::uint64_t offset, bool zero) EXCLUDES(bytes_mutex_) {
    gate_.pass();
    if (const auto why = take_failure()) return failure(why);
    ReadLock lock(bytes_mutex_);
    while (offset < bytes_.size() && (bytes_[offset] == std::byte{0}) != zero) ++offset;
    return offset;
  }
  std::error_code copy_in(std::uint64_t offset, std::span<const std::byte> data) EXCLUDES(bytes_mutex_) {
    if (const auto why = take_failure()) return why;
    WriteLock lock(bytes_mutex_);
    std::memcpy(bytes_.data() + offset, data.data(), data.size());
    return {};
  }

  const std::uint64_t id_;
  const bool writable_;
  Gate& gate_;

  SharedMutex bytes_mutex_;
  std::vector<std::byte> bytes_;  // what it holds, by bytes_mutex_; its size is constant

  Mutex mutex_;
  std::error_code failure_ GUARDED_BY(mutex_);
  std::jthread flusher_ GUARDED_BY(mutex_);
};

/// A tree of memory files: an origin, and snapshots that are added by hand.
class MemoryTree final : public ExportedTree {
 public:
  explicit MemoryTree(std::size_t image_size) : image_size_(image_size), origin_(make_file(true)) {}

  MemoryFile& add_snapshot(const std::string& name, bool writable = true) EXCLUDES(mutex_) {
    auto file = make_file(writable);
    MutexLock lock(mutex_);
    return *(snapshots_[name] = std::move(file));
  }
  MemoryFile& image() { return *origin_; }

  std::shared_ptr<ExportedFile> origin() override { return origin_; }
  std::shared_ptr<ExportedFile> snapshot(std::string_view name) override {
    MutexLock lock(mutex_);
    const auto found = snapshots_.find(name);
    return found == snapshots_.end() ? nullptr : found->second;
  }
  std::vector<std::string> snapshot_names() override {
    MutexLock lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, file] : snapshots_) names.push_back(name);
    return names;
  }
  Result<std::shared_ptr<ExportedFile>> make_snapshot(std::string_view name, bool as_empty) override {
    if (name.starts_with('.')) return failure(errc(std::errc::invalid_argument));
    auto file = make_file(true);
    file->made = true;
    file->as_empty = as_empty;
    MutexLock lock(mutex_);
    if (!snapshots_.emplace(name, file).second) return failure(errc(std::errc::file_exists));
    return file;
  }
  std::error_code rename_snapshot(std::string_view name, std::string_view to) override {
    MutexLock lock(mutex_);
    if (snapshots_.contains(to)) return errc(std::errc::file_exists);
    auto node = snapshots_.extract(snapshots_.find(name));
    node.key() = to;
    snapshots_.insert(std::move(node));
    return {};
  }
  std::error_code remove_snapshot(std::string_view name) override {
    MutexLock lock(mutex_);
    const auto found = snapshots_.find(name);
    if (found == snapshots_.end()) return errc(std::errc::no_such_file_or_directory);
    if (found->second->handles > 0) return errc(std::errc::device_or_resource_busy);
    snapshots_.erase(found);
    return {};
  }

  std::vector<std::string> text_names() override { return {"status", "status.json"}; }
  std::string text(std::string_view name) override {
    return std::string(name) + " " + std::to_string(++texts_made_) + "\n";
  }
  std::error_code statfs(struct statvfs& into) override {
    into.f_bsize = into.f_frsize = 4096;
    into.f_blocks = 4711;
    into.f_namemax = 64;
    return {};
  }

  /// What files that decline wait at.
  Gate gate;

 private:
  std::shared_ptr<MemoryFile> make_file(bool writable) {
    return std::make_shared<MemoryFile>(next_id_++, image_size_, writable, gate);
  }

  const std::size_t image_size_;
  std::atomic<std::uint64_t> next_id_ = 16;
  const std::shared_ptr<MemoryFile> origin_;
  std::atomic<unsigned> texts_made_ = 0;

  Mutex mutex_;
  std::map<std::string, std::shared_ptr<MemoryFile>, std::less<>> snapshots_ GUARDED_BY(mutex_);
};

}  // namespace dmsnap::test
