// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/process_setup.h"

#include <sys/mman.h>
#include <sys/prctl.h>

namespace dmsnap {

bool set_io_flusher() {
  return ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0 && ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1;
}

bool lock_memory() {
  return ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
}

}  // namespace dmsnap
