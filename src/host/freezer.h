// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/unique_fd.h"
#include "host/freeze_messages.h"
#include "host/stacked_filesystems.h"

namespace dmsnap {

/// What a freezer does to filesystems; a test has another.
class FreezeCalls {
 public:
  virtual ~FreezeCalls() = default;
  virtual FilesystemStack find(const BackingFile& file) = 0;
  virtual Result<UniqueFd> open(const StackedFilesystem& filesystem) = 0;
  /// Writes out what is dirty, so that a freeze has little left to write.
  virtual std::error_code sync(int fd) = 0;
  virtual std::error_code freeze(int fd) = 0;  ///< EBUSY: it is frozen already
  virtual std::error_code thaw(int fd) = 0;    ///< EINVAL: it is not frozen
};

/// Those of the kernel.
FreezeCalls& kernel_freeze_calls();

/// The helper's side of what FreezeHelper asks: finds filesystems, freezes and thaws them. It ends, and before that
/// thaws all that it has frozen, the last one first, when the other end of the socket is closed. After `limit` with
/// something frozen it thaws, too, and tells so when it is asked. It writes to nothing but the socket.
class Freezer {
 public:
  Freezer(int socket, FreezeCalls& calls, std::chrono::milliseconds limit)
      : socket_(socket), calls_(calls), limit_(limit) {}
  void run();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Frozen { no, by_us, by_others };
  struct Opened {
    UniqueFd fd;
    Frozen frozen = Frozen::no;
  };

  Words answer(const Words& request);
  Words find(const Words& request);
  /// Why it cannot be frozen; empty when it can be tried.
  std::string prepare(const StackedFilesystem& filesystem, Opened& opened);
  Words freeze(const Words& request);
  std::string freeze_one(Opened& opened);
  Words thaw();
  /// In reverse. Why not everything was frozen until then; empty: it was.
  std::string thaw_all();
  std::string thaw_one(Opened& opened);
  bool expired() const { return since_ && Clock::now() >= *since_ + limit_; }
  std::optional<std::chrono::milliseconds> patience() const;

  const int socket_;
  FreezeCalls& calls_;
  const std::chrono::milliseconds limit_;
  std::vector<Opened> opened_;
  std::vector<std::size_t> order_;          // of freezing
  std::optional<Clock::time_point> since_;  // something is frozen, or being frozen
  std::chrono::microseconds lasted_{0};
  std::string broken_;  // why what was frozen did not stay so
};

}  // namespace dmsnap
