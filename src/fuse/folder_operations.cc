// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>

#include <cstdio>
#include <utility>

#include "base/log.h"
#include "fuse/image_handle.h"
#include "fuse/operations.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

void Operations::create(Reply reply, fuse_ino_t folder, const char* name, mode_t /*mode*/, fuse_file_info* file) {
  if (folder != snapshots_inode) return std::move(reply).error(std::errc::operation_not_permitted);
  do_what_may_wait(
      [this, reply = std::move(reply), name, file = *file]() mutable { make(std::move(reply), name, file); });
}

void Operations::make(Reply reply, const char* name, fuse_file_info file) {
  const auto made = tree_.make_snapshot(name, (file.flags & O_EXCL) != 0);
  if (!made) return std::move(reply).error(made.error());
  if (const auto why = (*made)->opened()) {
    (*made)->maker_closed();
    return std::move(reply).error(why);
  }
  auto handle = std::make_unique<ImageHandle>(*made, owed_, sought_, ImageHandle::Of::its_maker);
  const auto entry = entry_of(snapshots_inode, name);
  if (!entry) return std::move(reply).error(entry.error());
  file.keep_cache = 1;
  if (!handles_.answer_create(std::move(reply), *entry, file, std::move(handle))) files_.forget(entry->ino, 1);
}

void Operations::mknod(Reply reply, fuse_ino_t folder, const char* name, mode_t mode, dev_t /*device*/) {
  if (folder != snapshots_inode || !S_ISREG(mode)) {
    return std::move(reply).error(std::errc::operation_not_permitted);
  }
  do_what_may_wait([this, reply = std::move(reply), name]() mutable {
    const auto made = tree_.make_snapshot(name, false);
    if (!made) return std::move(reply).error(made.error());
    (*made)->maker_closed();
    const auto entry = entry_of(snapshots_inode, name);
    if (!entry) return std::move(reply).error(entry.error());
    std::move(reply).entry(*entry);
  });
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
                        unsigned int flags) {
  if (folder != snapshots_inode || to_folder != snapshots_inode) {
    return std::move(reply).error(std::errc::operation_not_permitted);
  }
  // A name that is taken is never replaced, so RENAME_NOREPLACE is what happens anyway.
  if ((flags & ~unsigned{RENAME_NOREPLACE}) != 0) return std::move(reply).error(std::errc::invalid_argument);
  do_what_may_wait([this, reply = std::move(reply), name, to]() mutable {
    std::move(reply).error(tree_.rename_snapshot(name, to));
  });
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
