// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "set/origin_file.h"
#include "set/set_record.h"

namespace dmsnap {

/// What an origin looks like now, to be recorded when it is closed. Throws std::system_error.
OriginSeal take_seal(const OriginFile& origin);

/// How an origin was found when its set was opened.
enum class OriginMatch {
  as_closed,     ///< what the seal says
  was_open,      ///< its last user died: nothing can be compared, the order of writes has kept the snapshots
  forced,        ///< it differs, or may differ, and the caller insisted
  not_compared,  ///< no snapshot depends on it
};

/// Compares the origin with what was recorded, when snapshots depend on it (those marked invalid do not):
///
///   another size                          refused, whatever `force` says
///   state open                            was_open
///   closed, same mtime, same fingerprint  as_closed
///   closed, another mtime, same print     refused, unless `force`: "touched"; the message offers --force
///   closed, another fingerprint           refused, unless `force`: "changed"; the message offers dmsnap remove
///
/// Refusals are SetErrors; reading the origin may throw std::system_error.
OriginMatch compare_origin(const SetRecord& record, const OriginFile& origin, bool force);

}  // namespace dmsnap
