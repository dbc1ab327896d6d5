// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/mutex.h"
#include "fuse/libfuse.h"
#include "fuse/session_options.h"

namespace dmsnap {

/// A libfuse session that is mounted from construction on, and is not when it is gone.
class FuseMount {
 public:
  /// Mounts: as root itself, else through fusermount3. `operations` answers the requests that somebody reads from
  /// session(). Throws std::system_error or std::runtime_error, one line for people with libfuse's own words where it
  /// had some; nothing is mounted then. Of two at once on one folder one is refused.
  FuseMount(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations);
  FuseMount(const FuseMount&) = delete;
  FuseMount& operator=(const FuseMount&) = delete;
  /// Ends the connection; open files get ENOTCONN from then on.
  ~FuseMount();

  fuse_session& session() { return *session_; }

  /// Takes the mount out of the folder tree; whatever is open stays usable while requests are served. Does nothing when
  /// it is out already, or when the folder shows somebody else's mount by now. Any thread that does not have to serve
  /// requests meanwhile.
  void detach() EXCLUDES(mutex_);

 private:
  bool has_ended() const;
  /// Whether the folder is our mount: others may have put theirs there after ours was taken out.
  bool shows_us() const;
  void take_out() const;

  struct Destroy {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
  };
  const std::string mountpoint_;  ///< absolute, no symbolic links: the daemon changes its folder
  std::unique_ptr<fuse_session, Destroy> session_;
  dev_t device_ = 0;

  Mutex mutex_;
  bool detached_ GUARDED_BY(mutex_) = false;
};

/// The absolute path of a folder to mount on, without symbolic links. Throws std::system_error.
std::string absolute_mountpoint(const std::string& path);

}  // namespace dmsnap
