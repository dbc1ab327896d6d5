// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/operations.h"

#include <exception>
#include <utility>

#include "base/log.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

namespace {

/// Images change only through this mount; who changes one from behind tells the kernel (Session::forget_content).
constexpr double image_timeout_seconds = 1.0;

double timeout_of(const Node& node) {
  return node.is_volatile() ? 0.0 : image_timeout_seconds;
}

}  // namespace

/// From libfuse's C callback to a method: the boundary that no exception crosses.
template <class... Args, void (Operations::*method)(Reply, Args...)>
struct Operations::Entry<method> {
  static void call(fuse_req_t request, Args... args) noexcept {
    auto* const self = static_cast<Operations*>(fuse_req_userdata(request));
    try {
      (self->*method)(Reply(request), args...);
    } catch (const std::exception& why) {
      log::error("request answered with EIO: {}", why.what());
    }
  }
};

Operations::Operations(ExportedTree& tree, ControlHandler& control, bool open_to_others)
    : tree_(tree),
      control_(control),
      owed_(std::make_shared<OwedAnswers>()),
      sought_(std::make_shared<SoughtImages>()),
      files_(tree, open_to_others) {}

fuse_lowlevel_ops Operations::table() {
  fuse_lowlevel_ops ops{};
  ops.init = init;
  ops.lookup = Entry<&Operations::lookup>::call;
  ops.forget = Entry<&Operations::forget>::call;
  ops.getattr = Entry<&Operations::getattr>::call;
  ops.setattr = Entry<&Operations::setattr>::call;
  ops.statfs = Entry<&Operations::statfs>::call;
  ops.open = Entry<&Operations::open>::call;
  ops.read = Entry<&Operations::read>::call;
  ops.write = Entry<&Operations::write>::call;
  ops.flush = Entry<&Operations::flush>::call;
  ops.fsync = Entry<&Operations::fsync>::call;
  ops.fallocate = Entry<&Operations::fallocate>::call;
  ops.copy_file_range = Entry<&Operations::copy_file_range>::call;
  ops.lseek = Entry<&Operations::lseek>::call;
  ops.release = Entry<&Operations::release>::call;
  ops.opendir = Entry<&Operations::opendir>::call;
  ops.readdir = Entry<&Operations::read>::call;
  ops.fsyncdir = Entry<&Operations::fsync>::call;
  ops.releasedir = Entry<&Operations::release>::call;
  ops.create = Entry<&Operations::create>::call;
  ops.mknod = Entry<&Operations::mknod>::call;
  ops.mkdir = Entry<&Operations::mkdir>::call;
  ops.symlink = Entry<&Operations::symlink>::call;
  ops.link = Entry<&Operations::link>::call;
  ops.rename = Entry<&Operations::rename>::call;
  ops.unlink = Entry<&Operations::unlink>::call;
  ops.rmdir = Entry<&Operations::rmdir>::call;
  return ops;
}

void Operations::init(void* /*operations*/, fuse_conn_info* connection) {
  want_capabilities(*connection,
                    FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_EXPLICIT_INVAL_DATA);
  // With AUTO_INVAL_DATA a new mtime drops the page cache; WRITEBACK_CACHE would acknowledge writes before we see them;
  // splicing costs more calls than copying costs time.
  decline_capabilities(*connection, FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ |
                                        FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  connection->max_write = 1 << 20;
  // More than may wait for room at once: they must not be all.
  connection->max_background = 256;
  connection->congestion_threshold = 192;
}

void Operations::finish() {
  tree_.connection_ended();
  control_threads_.finish();
  owed_->wait();
  handles_.close_all();
}

Result<fuse_entry_param> Operations::entry_of(fuse_ino_t folder, const char* name) {
  const auto found = files_.find(folder, name);
  if (!found) return failure(found.error());
  fuse_entry_param entry{};
  entry.ino = found->inode;
  entry.attr = files_.attributes(*found);
  entry.attr_timeout = timeout_of(*found);
  entry.entry_timeout = found->made ? 0.0 : image_timeout_seconds;
  return entry;
}

void Operations::lookup(Reply reply, fuse_ino_t folder, const char* name) {
  if (folder != delta_inode) return answer_lookup(std::move(reply), folder, name);
  do_what_may_wait([this, reply = std::move(reply), folder, name = std::string(name)]() mutable {
    answer_lookup(std::move(reply), folder, name.c_str());
  });
}

void Operations::answer_lookup(Reply reply, fuse_ino_t folder, const char* name) {
  const auto entry = entry_of(folder, name);
  if (!entry) return std::move(reply).error(entry.error());
  std::move(reply).entry(*entry);
}

void Operations::forget(Reply reply, fuse_ino_t inode, std::uint64_t lookups) {
  files_.forget(inode, lookups);
  std::move(reply).none();
}

void Operations::getattr(Reply reply, fuse_ino_t inode, fuse_file_info* /*file*/) {
  const auto node = files_.node(inode);
  if (!node) return std::move(reply).error(node.error());
  std::move(reply).attributes(files_.attributes(*node), timeout_of(*node));
}

void Operations::setattr(Reply reply, fuse_ino_t inode, struct stat* wanted, int which, fuse_file_info* file) {
  const auto node = files_.node(inode);
  if (!node) return std::move(reply).error(node.error());
  const struct stat present = files_.attributes(*node);
  const bool owner_or_mode = (which & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0;
  const bool other_size = (which & FUSE_SET_ATTR_SIZE) != 0 && wanted->st_size != present.st_size;
  if (other_size || (owner_or_mode && !node->image)) {
    return std::move(reply).error(std::errc::operation_not_permitted);
  }
  if ((which & FUSE_SET_ATTR_SIZE) != 0 && file != nullptr) HandleTable::at(*file).size_set();
  if (!owner_or_mode) return std::move(reply).attributes(present, timeout_of(*node));
  Ownership owner = node->image->owner();
  if ((which & FUSE_SET_ATTR_UID) != 0) owner.user = wanted->st_uid;
  if ((which & FUSE_SET_ATTR_GID) != 0) owner.group = wanted->st_gid;
  if ((which & FUSE_SET_ATTR_MODE) != 0) owner.mode = wanted->st_mode & 0777U;
  do_what_may_wait([this, reply = std::move(reply), node = *node, owner]() mutable {
    if (const auto why = node.image->own(owner)) return std::move(reply).error(why);
    std::move(reply).attributes(files_.attributes(node), timeout_of(node));
  });
}

void Operations::statfs(Reply reply, fuse_ino_t /*inode*/) {
  do_what_may_wait([this, reply = std::move(reply)]() mutable {
    struct statvfs s {};
    if (const auto why = tree_.statfs(s)) return std::move(reply).error(why);
    std::move(reply).filesystem(s);
  });
}

}  // namespace dmsnap
