// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/mount.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <stdexcept>

#include "base/log.h"
#include "base/system_error.h"
#include "base/unique_fd.h"
#include "fuse/fuse_log.h"
#include "fuse/kept_stderr.h"

namespace dmsnap {

namespace {

/// Asks nobody but the kernel: the daemon behind a mount may not serve it yet.
void refuse_mount_root(int at, const std::string& path, const std::string& mountpoint) {
  struct statx s {};
  const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(at, path.c_str(), flags, 0, &s) != 0) throw_errno("mount point " + mountpoint);
  if ((s.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    throw std::runtime_error(
        fmt::format("mount point {}: something else has just been mounted on it; name another folder", mountpoint));
  }
}

/// Two daemons that find a folder free at the same time would mount on top of each other: one waits here, and is
/// refused. The turn is over when it is destroyed. Where a folder cannot be locked everybody has a turn.
UniqueFd turn_to_mount(const std::string& mountpoint) {
  const UniqueFd folder(::open(mountpoint.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) throw_errno("mount point " + mountpoint);
  refuse_mount_root(folder.get(), "", mountpoint);
  // The folder itself, whatever is mounted on it by now.
  UniqueFd turn(::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  while (turn && ::flock(turn.get(), LOCK_EX) != 0 && errno == EINTR) {
  }
  refuse_mount_root(AT_FDCWD, mountpoint, mountpoint);
  return turn;
}

/// Never asks the daemon, which may be the one that asks.
std::optional<dev_t> device_at(const std::string& path) {
  struct statx s {};
  if (::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &s) != 0) return std::nullopt;
  return makedev(s.stx_dev_major, s.stx_dev_minor);
}

/// Whether a mount whose connection is gone is there. Device numbers do not tell: the next mount gets ours.
bool is_dead(const std::string& path) {
  struct statx s {};
  const int flags = AT_STATX_FORCE_SYNC | AT_NO_AUTOMOUNT;
  return ::statx(AT_FDCWD, path.c_str(), flags, STATX_BASIC_STATS, &s) != 0 && errno == ENOTCONN;
}

/// libfuse splits options at commas.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string mount_options(const SessionOptions& options) {
  std::string text = "subtype=dmsnap,default_permissions,nosuid,nodev,fsname=" +
                     escaped(options.fsname.empty() ? "dmsnap" : options.fsname);
  if (options.read_only) text += ",ro";
  if (options.allow_other) text += ",allow_other";
  return text;
}

fuse_session* new_session(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations) {
  std::string program = "dmsnap";
  std::string flag = "-o";
  std::string values = mount_options(options);
  std::array<char*, 4> arguments{program.data(), flag.data(), values.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, arguments.data());
  fuse_session* const session = fuse_session_new(&args, &table, sizeof(table), operations);
  fuse_opt_free_args(&args);
  return session;
}

std::runtime_error no_rings(const std::string& why) {
  return std::runtime_error(
      fmt::format("--transport io_uring: not possible: {}; or choose auto, which takes /dev/fuse then", why));
}

/// False when it could not even be started.
bool run_fusermount(const std::string& mountpoint) {
  std::array<std::string, 6> words{"fusermount3", "-u", "-z", "-q", "--", mountpoint};
  std::array<char*, 7> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  pid_t child = 0;
  if (::posix_spawnp(&child, "fusermount3", nullptr, nullptr, arguments.data(), environ) != 0) return false;
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return true;
}

}  // namespace

std::string absolute_mountpoint(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> absolute(::realpath(path.c_str(), nullptr), &std::free);
  if (!absolute) throw_errno("mount point " + path);
  // The kernel would mount on a file, too.
  struct statx s {};
  const int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  if (::statx(AT_FDCWD, absolute.get(), flags, STATX_TYPE, &s) != 0) throw_errno("mount point " + path);
  if (!S_ISDIR(s.stx_mode)) throw std::system_error(errc(std::errc::not_a_directory), "mount point " + path);
  return absolute.get();
}

FuseMount::FuseMount(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations)
    : mountpoint_(absolute_mountpoint(options.mountpoint)) {
  const std::string obstacle = options.transport == TransportChoice::dev_fuse ? "not asked for" : io_uring_obstacle();
  if (options.transport == TransportChoice::io_uring && !obstacle.empty()) throw no_rings(obstacle);
  const UniqueFd turn = turn_to_mount(mountpoint_);
  if (obstacle.empty()) {
    mount_with_rings(options, table, operations);
  } else {
    mount(options, table, operations);
  }
}

void FuseMount::mount(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations) {
  const FuseMessages messages;
  const KeptStderr fusermount;
  session_.reset(new_session(options, table, operations));
  if (session_ && fuse_session_mount(session_.get(), mountpoint_.c_str()) == 0) {
    device_ = device_at(mountpoint_).value_or(0);
    return;
  }
  const std::string why = messages.text().empty() ? fusermount.text() : messages.text();
  throw std::runtime_error(fmt::format("mount {}: {}", mountpoint_, why.empty() ? "refused by fusermount3" : why));
}

void FuseMount::mount_with_rings(const SessionOptions& options, const fuse_lowlevel_ops& table, void* operations) {
  mount(options, table, operations);
  std::string why_not = "the kernel does not offer it";
  bool of_use = true;
  try {
    const FuseMessages messages;
    rings_ = std::make_unique<RingTransport>(*session_, options.max_threads);
    of_use = false;
    if (rings_->agree()) return;
    of_use = true;
  } catch (const std::exception& why) {
    why_not = why.what();
  }
  rings_.reset();
  const bool demanded = options.transport == TransportChoice::io_uring;
  if (of_use && !demanded) return log::debug("io_uring is left out: {}", why_not);
  fuse_session_unmount(session_.get());
  session_.reset();
  if (demanded) throw no_rings(why_not);
  log::warning("io_uring is left out: {}", why_not);
  mount(options, table, operations);
}

void FuseMount::serve_rings() {
  if (rings_) rings_->serve();
}

void FuseMount::stop_rings() {
  if (rings_) rings_->stop();
}

FuseMount::~FuseMount() {
  // First: an unmount waits for what is on its way into a ring.
  stop_rings();
  MutexLock lock(mutex_);
  if (has_ended()) {
    // By an unmount as a rule; a connection that was broken leaves a mount that answers nothing.
    const bool dead_mount_left = is_dead(mountpoint_);
    fuse_session_unmount(session_.get());
    if (dead_mount_left) take_out();
  } else if (!detached_ && shows_us()) {
    // Ends the connection first: an unmount may have to write pages, and nobody serves any more.
    fuse_session_unmount(session_.get());
  }
}

bool FuseMount::has_ended() const {
  pollfd connection{.fd = fuse_session_fd(session_.get()), .events = 0, .revents = 0};
  return ::poll(&connection, 1, 0) == 1 && (connection.revents & POLLERR) != 0;
}

bool FuseMount::shows_us() const {
  const auto there = device_at(mountpoint_);
  return !there || device_ == 0 || *there == device_;
}

void FuseMount::take_out() const {
  if (::umount2(mountpoint_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return;
  const auto why = last_error();
  if (why == std::errc::operation_not_permitted && run_fusermount(mountpoint_)) return;
  log::error("unmount {}: {}", mountpoint_, why.message());
}

void FuseMount::detach() {
  MutexLock lock(mutex_);
  if (detached_ || has_ended() || !shows_us()) return;
  take_out();
  detached_ = device_ == 0 || device_at(mountpoint_) != device_;
}

}  // namespace dmsnap
