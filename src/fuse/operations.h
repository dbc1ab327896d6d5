// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>

#include "dmsnap/control_handler.h"
#include "dmsnap/exported_file.h"
#include "fuse/control_handle.h"
#include "fuse/deferred_reply.h"
#include "fuse/file_tree.h"
#include "fuse/handle.h"
#include "fuse/libfuse.h"
#include "fuse/reply.h"
#include "fuse/sought_images.h"

namespace dmsnap {

/// The requests of the kernel, each with the answer it must get. Any method, from any thread, at once. Files are made
/// and removed by what the tree does; whatever it does not offer is refused with an errno that says so, and nothing
/// has changed then. Requests that are not here are answered with ENOSYS by libfuse, and the kernel does them itself
/// from then on (locks) or refuses them (extended attributes).
class Operations {
 public:
  Operations(ExportedTree& tree, ControlHandler& control, bool open_to_others);

  /// For fuse_session_new, with an Operations as user data.
  static fuse_lowlevel_ops table();
  /// After the last request: tells the tree, waits for what was asked through the control file and for answers that
  /// other threads owe, then closes what is still open.
  void finish();

 private:
  template <auto method>
  struct Entry;

  static void init(void* operations, fuse_conn_info* connection);

  void lookup(Reply reply, fuse_ino_t folder, const char* name);
  void forget(Reply reply, fuse_ino_t inode, std::uint64_t lookups);
  void getattr(Reply reply, fuse_ino_t inode, fuse_file_info* file);
  void setattr(Reply reply, fuse_ino_t inode, struct stat* wanted, int which, fuse_file_info* file);
  void statfs(Reply reply, fuse_ino_t inode);

  void open(Reply reply, fuse_ino_t inode, fuse_file_info* file);
  void read(Reply reply, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* file);
  void write(Reply reply, fuse_ino_t inode, const char* data, std::size_t size, off_t offset, fuse_file_info* file);
  void flush(Reply reply, fuse_ino_t inode, fuse_file_info* file);
  void fsync(Reply reply, fuse_ino_t inode, int data_only, fuse_file_info* file);
  void fallocate(Reply reply, fuse_ino_t inode, int mode, off_t offset, off_t length, fuse_file_info* file);
  void lseek(Reply reply, fuse_ino_t inode, off_t offset, int whence, fuse_file_info* file);
  void copy_file_range(Reply reply, fuse_ino_t inode, off_t from, fuse_file_info* source, fuse_ino_t to_inode, off_t to,
                       fuse_file_info* target, std::size_t size, int flags);
  void opendir(Reply reply, fuse_ino_t inode, fuse_file_info* file);
  void release(Reply reply, fuse_ino_t inode, fuse_file_info* file);

  void create(Reply reply, fuse_ino_t folder, const char* name, mode_t mode, fuse_file_info* file);
  void mknod(Reply reply, fuse_ino_t folder, const char* name, mode_t mode, dev_t device);
  void mkdir(Reply reply, fuse_ino_t folder, const char* name, mode_t mode);
  void symlink(Reply reply, const char* target, fuse_ino_t folder, const char* name);
  void link(Reply reply, fuse_ino_t inode, fuse_ino_t folder, const char* name);
  void rename(Reply reply, fuse_ino_t folder, const char* name, fuse_ino_t to_folder, const char* to,
              unsigned int flags);
  void unlink(Reply reply, fuse_ino_t folder, const char* name);
  void rmdir(Reply reply, fuse_ino_t folder, const char* name);

  Result<fuse_entry_param> entry_of(fuse_ino_t folder, const char* name);
  void make(Reply reply, const char* name, fuse_file_info file);
  void answer_lookup(Reply reply, fuse_ino_t folder, const char* name);
  void open_image(Reply reply, Node node, fuse_file_info& file);
  void open_text(Reply reply, const Node& node, fuse_file_info& file);
  void open_control(Reply reply, fuse_file_info& file);

  ExportedTree& tree_;
  ControlHandler& control_;
  const std::shared_ptr<OwedAnswers> owed_;
  const std::shared_ptr<SoughtImages> sought_;

  FileTree files_;
  HandleTable handles_;
  ControlThreads control_threads_;
};

}  // namespace dmsnap
