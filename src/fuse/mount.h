// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/mutex.h"
#include "fuse/libfuse.h"
#include "fuse/ring_transport.h"
#include "fuse/session_options.h"

namespace dmsnap {

/// A libfuse session that is mounted from construction on, and is not when it is gone.
class FuseMount {
 public:
  /// Mounts: as root itself, else through fusermount3. `operations` answers the requests that somebody reads from
  /// session(). Throws std::system_error or std::runtime_error, one line for people with libfuse's own words where it
  /// had some; nothing is mounted then. Of two at once on one folder one is refused. A choice of io_uring that cannot
  /// be met is a failure, and says what to do; automatic takes /dev/fuse then.
  FuseMount(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations);
  FuseMount(const FuseMount&) = delete;
  FuseMount& operator=(const FuseMount&) = delete;
  /// Ends the connection; open files get ENOTCONN from then on.
  ~FuseMount();

  fuse_session& session() { return *session_; }

  /// Where requests come from; those of /dev/fuse are to be read from session() in any case.
  Transport transport() const { return rings_ ? Transport::io_uring : Transport::dev_fuse; }
  /// Requests that come over io_uring are handled from now on, on threads of their own.
  void serve_rings();
  /// No handler runs on those threads any more on return. Answers may still be given.
  void stop_rings();

  /// Takes the mount out of the folder tree; whatever is open stays usable while requests are served. Does nothing when
  /// it is out already, or when the folder shows somebody else's mount by now. Any thread that does not have to serve
  /// requests meanwhile.
  void detach() EXCLUDES(mutex_);

 private:
  void mount(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations);
  void mount_with_rings(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations);
  bool has_ended() const;
  /// Whether the folder is our mount: others may have put theirs there after ours was taken out.
  bool shows_us() const;
  void take_out() const;

  struct Destroy {
    void operator()(fuse_session* session) const { fuse_session_destroy(session); }
  };
  const std::string mountpoint_;  ///< absolute, no symbolic links: the daemon changes its folder
  std::unique_ptr<fuse_session, Destroy> session_;
  std::unique_ptr<RingTransport> rings_;
  dev_t device_ = 0;

  Mutex mutex_;
  bool detached_ GUARDED_BY(mutex_) = false;
};

/// The absolute path of a folder to mount on, without symbolic links. Throws std::system_error.
std::string absolute_mountpoint(const std::string& path);

}  // namespace dmsnap
