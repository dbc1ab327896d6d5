// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/mount_point.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

#include "base/log.h"
#include "base/system_error.h"
#include "base/unique_fd.h"
#include "host/mount_table.h"

namespace dmsnap {

namespace {

std::string resolve(const std::string& path) {
  std::array<char, PATH_MAX> text{};
  if (::realpath(path.c_str(), text.data()) == nullptr) throw_errno(path);
  return text.data();
}

/// What is mounted on top of this path.
std::optional<MountEntry> mount_on(const std::string& canonical) {
  const auto mounts = mount_table();
  const auto found =
      std::find_if(mounts.rbegin(), mounts.rend(), [&](const MountEntry& m) { return m.point == canonical; });
  return found == mounts.rend() ? std::nullopt : std::optional(*found);
}

bool is_dmsnap(const std::optional<MountEntry>& mount) {
  return mount && mount->type == dmsnap_filesystem;
}

bool is_empty_folder(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir);
  if (!folder) throw_errno(path);
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return false;
  }
  return true;
}

bool is_within(const std::string& path, const std::string& folder) {
  return path == folder || folder == "/" || path.starts_with(folder + "/");
}

/// Exit status of a command, or -1.
int run(std::array<const char*, 6> words) {
  pid_t child = 0;
  std::array<char*, 6> arguments{};
  std::ranges::transform(words, arguments.begin(), [](const char* word) { return const_cast<char*>(word); });
  if (::posix_spawnp(&child, words[0], nullptr, nullptr, arguments.data(), environ) != 0) return -1;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// What a call on a FUSE mount answers whose process is gone, or goes while the call is under way.
bool daemon_is_gone(int error) {
  return error == ENOTCONN || error == ECONNABORTED;
}

}  // namespace

std::string canonical_mount_point(const std::string& given) {
  std::string path = given;
  while (path.size() > 1 && (path.ends_with('/') || path.ends_with("/."))) path.pop_back();
  std::array<char, PATH_MAX> text{};
  if (::realpath(path.c_str(), text.data()) != nullptr) return text.data();
  if (!daemon_is_gone(errno)) throw_errno(given);
  const auto slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const std::string above = resolve(parent);
  const std::string folder = above == "/" ? "/" : above + "/";
  path = folder + path.substr(slash == std::string::npos ? 0 : slash + 1);
  const ssize_t length = ::readlink(path.c_str(), text.data(), text.size());
  if (length < 0) return path;
  const std::string target(text.data(), static_cast<std::size_t>(length));
  return canonical_mount_point(target.starts_with('/') ? target : folder + target);
}

MountPointState mount_point_state(const std::string& path) {
  struct stat status {};
  const int why = ::stat(path.c_str(), &status) == 0 ? 0 : errno;
  if (why == ENOENT || why == ENOTDIR) return MountPointState::missing;
  if (why == EACCES && is_dmsnap(mount_on(canonical_mount_point(path)))) return MountPointState::live_dmsnap;
  if (why != 0 && !daemon_is_gone(why)) throw std::system_error(why, std::generic_category(), path);
  const auto mount = mount_on(canonical_mount_point(path));
  if (daemon_is_gone(why)) return is_dmsnap(mount) ? MountPointState::dead_dmsnap : MountPointState::other_mount;
  if (!S_ISDIR(status.st_mode)) return MountPointState::not_a_folder;
  if (!mount) return MountPointState::free;
  if (!is_dmsnap(mount)) return MountPointState::other_mount;
  // stat() may have been answered from the kernel's cache; this goes to the process.
  struct statfs filesystem {};
  const bool dead = ::statfs(path.c_str(), &filesystem) != 0 && daemon_is_gone(errno);
  return dead ? MountPointState::dead_dmsnap : MountPointState::live_dmsnap;
}

bool is_live_mount(const std::string& path) {
  return mount_point_state(path) == MountPointState::live_dmsnap;
}

bool clean_dead_mount(const std::string& path) {
  if (mount_point_state(path) != MountPointState::dead_dmsnap) return false;
  const std::string point = canonical_mount_point(path);
  if (::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return true;
  if (run({"fusermount3", "-u", "-z", "--", point.c_str(), nullptr}) == 0) return true;
  throw std::runtime_error(point + " is a dead mount of dmsnap and could not be detached; do it as root: umount -l " +
                           point);
}

void prepare_mount_point(const std::string& path, std::span<const std::string> kept) {
  switch (mount_point_state(path)) {
    case MountPointState::free: break;
    case MountPointState::missing: throw std::runtime_error(path + " does not exist; create it: mkdir -p " + path);
    case MountPointState::not_a_folder:
      throw std::runtime_error(path + " is no folder; name an empty folder to mount on");
    case MountPointState::dead_dmsnap:
      if (clean_dead_mount(path)) log::warning("{}: a dead mount was cleaned up", path);
      return prepare_mount_point(path, kept);
    case MountPointState::live_dmsnap:
      throw std::runtime_error(path + " has a dmsnap mounted on it already; unmount it first: dmsnap umount " + path);
    case MountPointState::other_mount: {
      const auto mount = mount_on(canonical_mount_point(path));
      const std::string what = mount ? fmt::format("{} ({})", mount->source, mount->type) : "something";
      throw std::runtime_error(
          fmt::format("{} has {} mounted on it; name another folder, or unmount that first", path, what));
    }
  }
  const std::string point = canonical_mount_point(path);
  for (const std::string& each : kept) {
    struct stat status {};
    if (::stat(each.c_str(), &status) != 0) continue;
    const std::string place = resolve(each);
    if (is_within(point, place))
      throw std::runtime_error(fmt::format("{} lies in {}; name a folder elsewhere", path, place));
    if (is_within(place, point))
      throw std::runtime_error(fmt::format("{} would hide {}; name another folder", path, place));
  }
  if (!is_empty_folder(path)) throw std::runtime_error(path + " is not empty; name an empty folder to mount on");
}

void check_fuse_device() {
  const dev_t fuse = makedev(10, 229);
  struct stat status {};
  if (::stat("/dev/fuse", &status) == 0 && (!S_ISCHR(status.st_mode) || status.st_rdev != fuse)) {
    throw std::runtime_error("/dev/fuse is not FUSE's device; as root: rm /dev/fuse; mknod -m 666 /dev/fuse c 10 229");
  }
  const UniqueFd fd(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (fd) return;
  const bool missing = errno == ENOENT || errno == ENODEV || errno == ENXIO;
  throw_errno(missing ? "/dev/fuse (is the kernel module loaded, 'modprobe fuse'? a container needs the device)"
                      : "/dev/fuse (ask for the permission to use it)");
}

}  // namespace dmsnap
