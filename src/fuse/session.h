// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "dmsnap/control_handler.h"
#include "dmsnap/exported_file.h"
#include "dmsnap/result.h"
#include "fuse/session_options.h"

namespace dmsnap {

/// A tree of images, mounted. From construction on who opens a file waits for run().
class Session {
 public:
  /// Mounts, as type fuse.dmsnap. `tree` and `control` outlive the session. Throws std::system_error or
  /// std::runtime_error with one line for people; nothing is mounted then.
  Session(ExportedTree& tree, ControlHandler& control, const SessionOptions& options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  /// Unmounts when that is still to be done. No run() may be in progress.
  ~Session();

  /// How requests come.
  Transport transport() const;

  /// Serves requests until the mount is gone and its last file closed; then every request has its answer and every
  /// ExportedFile has been told closed(). Once, on threads of its own that take no signals. Throws std::system_error
  /// when requests cannot be read any more although the mount is there.
  void run();

  /// Takes the mount out of the folder tree. Files that are open go on being served, and run() returns after the last
  /// is closed. Any thread, also one that handles a control request; twice is once.
  void detach();

  /// The kernel forgets pages and attributes that it has cached of an image that changed from behind. Returns at once;
  /// `done`, when given, runs on another thread once they are gone. Any thread; locks may be held.
  void forget_content(std::uint64_t file_id, Completion done = nullptr);
  /// The kernel forgets that there is, or is not, a snapshot of this name. As forget_content.
  void forget_name(std::string_view snapshot, Completion done = nullptr);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace dmsnap
