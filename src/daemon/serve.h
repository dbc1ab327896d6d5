// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "block/place.h"
#include "daemon/on_full.h"
#include "fuse/transport.h"
#include "set/set_record.h"

namespace dmsnap {

/// A COW file or device that is to be shown as a snapshot, where it lies.
struct Attachment {
  std::string name;
  Place cow;                                  ///< parts only when nothing is written
  std::optional<std::uint64_t> sectors = {};  ///< of the snapshot, when it is shorter than the origin
};

struct ServeOptions {
  Place origin;  ///< a part of a file is only shown, as with read_only
  std::string mountpoint;
  std::string store;  ///< folder of the set; empty: ORIGIN.dmsnap
  std::vector<Attachment> attach;
  bool read_only = false;
  bool allow_other = false;
  bool force = false;       ///< I know that the origin is unchanged, or that the missing stores do not matter
  bool format_raw = false;  ///< whatever the origin's first bytes look like
  bool foreground = false;
  std::size_t held_bytes = std::size_t{64} << 20;
  TransportChoice transport = TransportChoice::automatic;
  std::optional<Layout> layout;  ///< of the set from now on; nothing: as it is
  OnFull on_full;
  log::Options log;
};

/// What the process was permitted to do for itself; told in status.
struct ProcessSetup {
  bool io_flusher = false;     ///< PR_SET_IO_FLUSHER: memory pressure does not make it wait for its own writes
  bool memory_locked = false;  ///< never swapped out
};

/// Mounts the set and serves it. In the background: returns when the files can be opened, and a daemon of its own
/// session serves on, logging to the given file or else to syslog. In the foreground: returns when the mount is gone
/// and everything is on disk.
///
/// Throws std::runtime_error with one line for people when the mount cannot be made; then nothing is mounted and
/// nothing runs. Call it before any thread is started.
void serve(const ServeOptions& options);

}  // namespace dmsnap
