// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>

#include "snapshot/histogram.h"

namespace dmsnap {

/// What the flush thread has done for a set. Who runs waves counts, any thread reads.
struct WaveCounters {
  Histogram microseconds;                        ///< that waves took
  Histogram commits;                             ///< runs of new exceptions for which a wave was
  Histogram commit_microseconds;                 ///< from the first flush of COW devices to the last
  std::atomic<std::uint64_t> copied_chunks = 0;  ///< into snapshots, before what they fall through to changed
  std::atomic<std::uint64_t> copied_bytes = 0;
};

}  // namespace dmsnap
