// SPDX-License-Identifier: GPL-2.0-or-later
#include <utility>

#include "base/log.h"
#include "fuse/operations.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

void Operations::create(Reply reply, fuse_ino_t folder, const char* name, mode_t mode, fuse_file_info* /*file*/) {
  mknod(std::move(reply), folder, name, mode, 0);
}

void Operations::mknod(Reply reply, fuse_ino_t folder, const char* name, mode_t mode, dev_t /*device*/) {
  if (folder != snapshots_inode || !S_ISREG(mode)) {
    return std::move(reply).error(std::errc::operation_not_permitted);
  }
  log::warning("snapshots/{}: not created: take a snapshot with 'dmsnap create {} {}'", name, mountpoint_, name);
  std::move(reply).error(std::errc::operation_not_supported);
}

void Operations::mkdir(Reply reply, fuse_ino_t /*folder*/, const char* /*name*/, mode_t /*mode*/) {
  std::move(reply).error(std::errc::operation_not_permitted);
}

void Operations::symlink(Reply reply, const char* /*target*/, fuse_ino_t /*folder*/, const char* /*name*/) {
  std::move(reply).error(std::errc::operation_not_permitted);
}

void Operations::link(Reply reply, fuse_ino_t /*inode*/, fuse_ino_t /*folder*/, const char* /*name*/) {
  std::move(reply).error(std::errc::operation_not_permitted);
}

void Operations::rename(Reply reply, fuse_ino_t folder, const char* name, fuse_ino_t to_folder, const char* to,
                        unsigned int /*flags*/) {
  if (folder != snapshots_inode || to_folder != snapshots_inode) {
    return std::move(reply).error(std::errc::operation_not_permitted);
  }
  log::warning("snapshots/{}: not renamed to {}: a snapshot keeps its name", name, to);
  std::move(reply).error(std::errc::operation_not_supported);
}

void Operations::unlink(Reply reply, fuse_ino_t folder, const char* name) {
  if (folder != snapshots_inode) return std::move(reply).error(std::errc::operation_not_permitted);
  do_what_may_wait([this, reply = std::move(reply), name]() mutable {
    const auto why = tree_.remove_snapshot(name);
    if (why) log::warning("snapshots/{}: not removed: {}", name, why.message());
    std::move(reply).error(why);
  });
}

void Operations::rmdir(Reply reply, fuse_ino_t /*folder*/, const char* /*name*/) {
  std::move(reply).error(std::errc::operation_not_permitted);
}

}  // namespace dmsnap
