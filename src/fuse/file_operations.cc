// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>

#include <utility>

#include "base/log.h"
#include "fuse/content_handles.h"
#include "fuse/control_handle.h"
#include "fuse/image_handle.h"
#include "fuse/operations.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

namespace {

bool wants_to_write(const fuse_file_info& file) {
  return (file.flags & O_ACCMODE) != O_RDONLY;
}

}  // namespace

void Operations::open(Reply reply, fuse_ino_t inode, fuse_file_info* file) {
  auto node = files_.node(inode);
  if (!node) return std::move(reply).error(node.error());
  switch (node->kind) {
    case Node::Kind::image: return open_image(std::move(reply), *std::move(node), *file);
    case Node::Kind::text: return open_text(std::move(reply), *node, *file);
    case Node::Kind::control: return open_control(std::move(reply), *file);
    case Node::Kind::root:
    case Node::Kind::snapshots:
    case Node::Kind::dot_dmsnap:
    case Node::Kind::delta: return std::move(reply).error(std::errc::is_a_directory);
  }
}

void Operations::open_image(Reply reply, Node node, fuse_file_info& file) {
  // EROFS also where only this image is read-only: loop devices take it for "read-only, then", and root gets past
  // modes.
  if (wants_to_write(file) && !node.image->writable()) {
    return std::move(reply).error(std::errc::read_only_file_system);
  }
  if ((file.flags & O_TRUNC) != 0 && node.image->size() != 0) {
    return std::move(reply).error(std::errc::operation_not_permitted);
  }
  if (const auto why = node.image->opened()) return std::move(reply).error(why);
  file.keep_cache = node.made ? 0 : 1;
  file.direct_io = node.made ? 1 : 0;
  handles_.answer_open(std::move(reply), file, std::make_unique<ImageHandle>(std::move(node.image), owed_, sought_));
}

void Operations::open_text(Reply reply, const Node& node, fuse_file_info& file) {
  if (wants_to_write(file)) return std::move(reply).error(std::errc::permission_denied);
  file.direct_io = 1;
  do_what_may_wait([this, reply = std::move(reply), name = node.text_name, file = file]() mutable {
    handles_.answer_open(std::move(reply), file, std::make_unique<TextHandle>(tree_.text(name)));
  });
}

void Operations::open_control(Reply reply, fuse_file_info& file) {
  file.direct_io = 1;
  const bool can_be_read = (file.flags & O_ACCMODE) != O_WRONLY;
  handles_.answer_open(std::move(reply), file,
                       std::make_unique<ControlHandle>(control_, control_threads_, can_be_read));
}

void Operations::opendir(Reply reply, fuse_ino_t inode, fuse_file_info* file) {
  handles_.answer_open(std::move(reply), *file, std::make_unique<FolderHandle>(files_.list(inode)));
}

void Operations::read(Reply reply, fuse_ino_t /*inode*/, std::size_t size, off_t offset, fuse_file_info* file) {
  HandleTable::at(*file).read(std::move(reply), size, static_cast<std::uint64_t>(offset));
}

void Operations::write(Reply reply, fuse_ino_t /*inode*/, const char* data, std::size_t size, off_t offset,
                       fuse_file_info* file) {
  HandleTable::at(*file).write(std::move(reply), std::as_bytes(std::span(data, size)),
                               static_cast<std::uint64_t>(offset));
}

void Operations::flush(Reply reply, fuse_ino_t /*inode*/, fuse_file_info* file) {
  HandleTable::at(*file).close_descriptor(std::move(reply));
}

void Operations::copy_file_range(Reply reply, fuse_ino_t /*inode*/, off_t from, fuse_file_info* source,
                                 fuse_ino_t /*to_inode*/, off_t to, fuse_file_info* target, std::size_t size,
                                 int /*flags*/) {
  HandleTable::at(*target).copy(std::move(reply), HandleTable::at(*source).image(), static_cast<std::uint64_t>(from),
                                static_cast<std::uint64_t>(to), size);
}

void Operations::fsync(Reply reply, fuse_ino_t /*inode*/, int /*data_only*/, fuse_file_info* file) {
  HandleTable::at(*file).sync(std::move(reply));
}

void Operations::fallocate(Reply reply, fuse_ino_t inode, int mode, off_t offset, off_t length, fuse_file_info* file) {
  // Room is not taken ahead here. For "not supported" glibc's posix_fallocate writes to every block instead, which
  // would copy the whole image into each snapshot.
  if (mode == 0) return std::move(reply).error(std::errc::invalid_argument);
  const bool zeroes = (mode & ~FALLOC_FL_KEEP_SIZE) == FALLOC_FL_ZERO_RANGE;
  if (!zeroes && mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
    return std::move(reply).error(std::errc::operation_not_supported);
  }
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) {
    const auto node = files_.node(inode);
    if (!node) return std::move(reply).error(node.error());
    if (offset + length > files_.attributes(*node).st_size) return std::move(reply).error(std::errc::file_too_large);
  }
  HandleTable::at(*file).zero(std::move(reply), static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length));
}

void Operations::lseek(Reply reply, fuse_ino_t /*inode*/, off_t offset, int whence, fuse_file_info* file) {
  if (offset < 0) return std::move(reply).error(std::errc::no_such_device_or_address);
  HandleTable::at(*file).seek(std::move(reply), static_cast<std::uint64_t>(offset), whence);
}

void Operations::release(Reply reply, fuse_ino_t /*inode*/, fuse_file_info* file) {
  if (!HandleTable::at(*file).may_wait_to_close()) {
    handles_.close(*file);
    return std::move(reply).done();
  }
  do_what_may_wait([this, reply = std::move(reply), file = *file]() mutable {
    handles_.close(file);
    std::move(reply).done();
  });
}

}  // namespace dmsnap
