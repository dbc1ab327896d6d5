// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/process_setup.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/capabilities.h"

namespace dmsnap {

namespace {

bool may_lock_all_memory() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY) return true;
  return has_capability(Capability::ipc_lock);
}

}  // namespace

bool fill_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int contrary = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    // The lowest free number is the one that open() gives.
    if (::fcntl(fd, F_GETFD) == -1 && ::open("/dev/null", contrary) != fd) return false;
  }
  return true;
}

bool set_io_flusher() {
  return ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0 && ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1;
}

bool lock_memory() {
  return may_lock_all_memory() && ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

bool forbid_tracing() {
  return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}

}  // namespace dmsnap
