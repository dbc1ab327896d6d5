// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace dmsnap {

/// Opens /dev/null on every closed one of the descriptors 0 to 2, in the mode in which its use fails as that of a
/// closed one does: what is opened later must not get the number to which messages go. False when there is no
/// /dev/null.
[[nodiscard]] bool fill_standard_descriptors();

// What a daemon below a block device should do for itself. Each tells whether it worked; to fail is no error, since it
// takes privileges. Call them before the first thread: the first is inherited by threads, not shared.

/// PR_SET_IO_FLUSHER (Linux 5.6, needs CAP_SYS_RESOURCE): when memory is short the kernel does not make this process
/// wait for writes that only this process can carry out.
bool set_io_flusher();

/// mlockall(2) of what is touched from now on: a page that is swapped out may need this very process to come back.
/// Takes CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK: under a limit it is not tried, since allocations beyond it would
/// fail.
bool lock_memory();

/// PR_SET_DUMPABLE 0: other processes of the same user may neither trace this one nor open its files through /proc, and
/// it leaves no core.
bool forbid_tracing();

}  // namespace dmsnap
