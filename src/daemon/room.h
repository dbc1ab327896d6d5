// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "base/mutex.h"
#include "daemon/on_full.h"
#include "dmsnap/exception_store.h"
#include "snapshot/view_file.h"
#include "snapshot/waiting_writes.h"

namespace dmsnap {

/// lvm2's percentage: of the whole device, with 0 for empty and 100 for full.
double full_percent(const StoreUsage& usage);

/// At which it is warned: 80, 85 and so on to 100; 0 below.
int warning_step(double percent);

/// Something that gets full.
struct Fullness {
  std::string name;     ///< of a snapshot; empty: the disk below
  double percent = 0;   ///< warned of at each warning_step()
  std::string warning;  ///< one line: what is full, and what to do
};

/// The room of a mounted set: what becomes of writes that find none, and the warnings that come before. Any thread.
class Room {
 public:
  explicit Room(const OnFull& on_full);

  /// How the writers of a file are treated; the file goes before this object.
  void apply_to(ViewFile::Options& options);
  /// Lets waiting writes go on from now on, until stop(); needs a thread that runs waves.
  void start();
  void stop();

  const OnFull& on_full() const { return on_full_; }
  std::size_t waiting() const { return writes_ ? writes_->count() : 0; }
  /// Somebody has made room.
  void look_again();
  /// Nobody waits any more: the kernel's rule, for those that do and those that come.
  void end_waiting();
  /// Those that wait get no answer but an error.
  void cancel();

  /// Logs what has become fuller by a step of 5 % since the last call.
  void warn(const std::vector<Fullness>& all) EXCLUDES(mutex_);

 private:
  const OnFull on_full_;
  std::optional<WaitingWrites> writes_;  // with Policy::wait

  Mutex mutex_;
  std::map<std::string, int> warned_ GUARDED_BY(mutex_);  // at which step, by Fullness::name

  std::optional<RoomThread> thread_;
};

}  // namespace dmsnap
