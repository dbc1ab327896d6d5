// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "host/freeze_messages.h"
#include "host/freezer.h"

namespace dmsnap {

/// The freeze helper has died, or does not answer; it is killed then. What it had frozen may be so still.
class FreezeHelperGone : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The other side of Freezer. One thread at a time.
class FreezeHelper {
 public:
  static constexpr std::chrono::seconds limit{10};  ///< for which anything is frozen at most

  /// Forks the process `dmsnap-freeze`: it keeps of root's rights what opens and freezes filesystems, has its memory
  /// locked, has nothing open but its socket, and ends when this object or this process does. Call it before the first
  /// thread. Null, and `why`, without CAP_SYS_ADMIN.
  static std::unique_ptr<FreezeHelper> start(std::string& why);

  /// Over a Freezer that runs elsewhere; `process` is killed when it does not answer, unless it is 0.
  FreezeHelper(UniqueFd socket, pid_t process, std::chrono::milliseconds patience = 2 * limit);
  ~FreezeHelper();
  FreezeHelper(const FreezeHelper&) = delete;
  FreezeHelper& operator=(const FreezeHelper&) = delete;

  struct Filesystem {
    dev_t device = 0;
    std::string type;
    std::string point;
    std::optional<std::size_t> on;  ///< as in StackedFilesystem
    std::string why_not;            ///< it cannot be frozen; empty when it can be tried
    bool read_only = false;         ///< it needs not
  };
  struct Found {
    std::vector<Filesystem> filesystems;  ///< in the order in which they are to be frozen
    std::vector<std::string> notes;
  };
  /// What it finds is open until the next thaw(), and was written out. Each throws FreezeHelperGone.
  Found find(const BackingFile& file);
  /// Freezes these of what was found, one after the other. For each: "frozen", "held" (it was frozen by somebody else
  /// and is left to him), or why not.
  std::vector<std::string> freeze(const std::vector<std::size_t>& which);
  struct Thawed {
    std::chrono::microseconds lasted{0};  ///< from before the first freeze until after the last thaw
    std::string broken;                   ///< why not everything was frozen all the time; empty: it was
  };
  Thawed thaw();

  pid_t process() const { return process_; }
  bool gone() const { return !socket_; }

 private:
  Words ask(const Words& request, std::chrono::milliseconds patience);
  [[noreturn]] void give_up(const std::string& why);

  UniqueFd socket_;
  pid_t process_;
  const std::chrono::milliseconds patience_;
};

}  // namespace dmsnap
