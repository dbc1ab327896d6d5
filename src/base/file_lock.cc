// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/system_error.h"

namespace dmsnap {

namespace {

bool lock_description(int fd, LockMode mode, const std::string& path) {
  struct flock range {};
  range.l_type = mode == LockMode::exclusive ? F_WRLCK : F_RDLCK;
  range.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &range) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  throw_errno(path + ": locking it");
}

/// udev locks a block device for a moment whenever somebody has written to it, so one is asked a few times.
int patience(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && S_ISBLK(status.st_mode) ? 20 : 1;
}

}  // namespace

bool lock_file(int fd, LockMode mode, const std::string& path) {
  if (!lock_description(fd, mode, path)) return false;
  const int operation = (mode == LockMode::exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  for (int tries = patience(fd);;) {
    if (::flock(fd, operation) == 0) return true;
    if (errno != EWOULDBLOCK) throw_errno(path + ": locking it");
    if (--tries == 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace dmsnap
