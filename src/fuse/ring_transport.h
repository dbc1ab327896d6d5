// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fuse/libfuse.h"
#include "fuse/ring.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

/// Why FUSE over io_uring cannot be had here, with what to do about it; empty when nothing is known against it.
std::string io_uring_obstacle();

/// FUSE over io_uring for a session: a Ring for each processor that this process may use, with slots for the requests
/// that are made there. Requests that the kernel sends through /dev/fuse in any case (FORGET, INTERRUPT) are
/// still to be read there (RequestLoop), and so is the end of the connection.
///
/// libfuse has rings of its own from 3.18 on. These are not they: see "Rings of our own" in src/README.md.
class RingTransport {
 public:
  /// For a session that is mounted and whose INIT nobody has read. Makes what can fail, and takes over libfuse's reads
  /// and writes. Throws std::runtime_error when that cannot be; the session can then be served as if nothing had been.
  RingTransport(fuse_session& session, unsigned max_waiting);
  RingTransport(const RingTransport&) = delete;
  RingTransport& operator=(const RingTransport&) = delete;
  /// stop()
  ~RingTransport() { stop(); }

  /// Answers INIT. False when the kernel does not offer rings: all requests are to be read from /dev/fuse then. Throws
  /// std::runtime_error when both sides had agreed and it still cannot be: the session is of no use then.
  [[nodiscard]] bool agree();
  /// Requests, which waited until now, are handled.
  void serve();
  /// No handler runs any more on return, also none that waits. Answers that are still owed may be given as long as this
  /// object lives; whether they reach anybody depends on the connection. Twice is once.
  void stop();

 private:
  fuse_session& session_;
  WaitingThreads waiting_;
  std::vector<std::unique_ptr<Ring>> rings_;
};

}  // namespace dmsnap
