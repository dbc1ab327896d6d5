// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <stdexcept>
#include <string>

namespace dmsnap {

/// What a path is, looked at as a place to mount on.
enum class MountPointState {
  free,         ///< a folder that is no mount point
  live_dmsnap,  ///< a mount of dmsnap that answers, be it with "permission denied"
  dead_dmsnap,  ///< a mount of dmsnap whose process is gone (ENOTCONN)
  other_mount,  ///< another filesystem is mounted on it
  missing,
  not_a_folder,
};

/// Waits for the filesystem on it to answer. Throws std::system_error when it cannot be told.
MountPointState mount_point_state(const std::string& path);

/// True when `path` is the mount point of a dmsnap that answers.
bool is_live_mount(const std::string& path);

/// When `path` is a dead mount of dmsnap: detaches it (as root, else through fusermount3) and returns true. False when
/// it is none. Throws std::runtime_error when it could not be detached, with the command to try.
bool clean_dead_mount(const std::string& path);

/// Takes a dead mount of dmsnap away from `path`, with a warning, and throws std::runtime_error, which says what to do,
/// unless dmsnap can be mounted there: an existing
/// folder with nothing in it, hidden or not, which is no mount point, and which neither lies in, nor is, nor would hide
/// any of `kept`: the origin, the folder of the set.
void prepare_mount_point(const std::string& path, std::span<const std::string> kept);

/// Throws std::system_error or std::runtime_error, which says what to ask for, when this process may not use /dev/fuse,
/// there is none, or it is something else.
void check_fuse_device();

/// `path` absolute, symbolic links resolved, also when what is mounted there is dead. Throws std::system_error.
std::string canonical_mount_point(const std::string& path);

}  // namespace dmsnap
