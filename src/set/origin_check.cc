// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/origin_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "set/image_format.h"
#include "set/set_error.h"

namespace dmsnap {

namespace {

/// A hint for people; copies are legitimate.
std::string moved(const SetRecord& record, const OriginFile& origin) {
  const bool same = record.device == origin.device() && record.inode == origin.inode();
  return same ? "" : " (and is not the same file as then: it was copied, restored or replaced)";
}

/// How an origin of another size becomes what it was. Only growing is suggested: it destroys nothing.
std::string fitting(const SetRecord& record, const OriginFile& origin) {
  if (origin.is_block_device()) return "put the device back as it was";
  if (origin.bytes() < record.origin_bytes) {
    return fmt::format(
        "put the image back, or if its end was cut off, which is lost, make it as long again (truncate "
        "-s {} {})",
        record.origin_bytes, shell_word(origin.path()));
  }
  return fmt::format(
      "put the image back; they need it without its last {} bytes, so if nothing was stored there they "
      "can be cut off",
      origin.bytes() - record.origin_bytes);
}

[[noreturn]] void refuse_size(const SetRecord& record, const OriginFile& origin) {
  throw SetError(fmt::format(
      "{} has {} bytes, had {} when its snapshots were taken{}: they do not fit it; {}; or drop the snapshots with "
      "dmsnap remove",
      origin.path(), origin.bytes(), record.origin_bytes, moved(record, origin), fitting(record, origin)));
}

}  // namespace

OriginSeal take_seal(const OriginFile& origin) {
  return {.mtime = origin.mtime(), .fingerprint = origin.fingerprint()};
}

OriginMatch compare_origin(const SetRecord& record, const OriginFile& origin, bool force) {
  const bool nothing_depends =
      std::ranges::all_of(record.snapshots, [](const auto& s) { return s.invalid.has_value(); });
  if (nothing_depends) return OriginMatch::not_compared;
  if (record.origin_bytes != origin.bytes()) refuse_size(record, origin);
  if (!record.seal) return OriginMatch::was_open;
  const OriginSeal now = take_seal(origin);
  if (now == *record.seal) return OriginMatch::as_closed;
  if (force) return OriginMatch::forced;
  if (now.fingerprint == record.seal->fingerprint) {
    throw SetError(
        fmt::format("{} was touched at {}, after its snapshots were closed{}; samples of it are unchanged: say "
                    "--force if you know that nothing was written to it, else drop the snapshots with dmsnap remove",
                    origin.path(), to_iso(now.mtime), moved(record, origin)));
  }
  throw SetError(
      fmt::format("{} was changed by something else since its snapshots were closed{}, they no longer fit it; put the "
                  "old image back, or drop the snapshots with dmsnap remove",
                  origin.path(), moved(record, origin)));
}

}  // namespace dmsnap
