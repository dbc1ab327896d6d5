// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "base/system_error.h"
#include "base/unique_fd.h"
#include "cli/ask_mount.h"
#include "cli/verbs.h"
#include "host/holders.h"
#include "host/mount_point.h"
#include "set/record_file.h"

namespace dmsnap::cli {

namespace {

std::runtime_error busy(const std::string& mountpoint) {
  std::string who;
  for (const std::string& holder : holders_of(mountpoint)) who += "\n  " + holder;
  if (who.empty())
    return std::runtime_error(mountpoint + ": in use by what this command was started with (its " +
                              "folder, open files), or by something that cannot be seen from here");
  return std::runtime_error(mountpoint + ": in use by" + who);
}

/// A user's mount is undone by the set-uid helper that made it.
void unmount_through_fusermount(const std::string& mountpoint, bool lazy) {
  std::array<char*, 5> words{const_cast<char*>("fusermount3"), const_cast<char*>(lazy ? "-uz" : "-u"),
                             const_cast<char*>("--"), const_cast<char*>(mountpoint.c_str()), nullptr};
  pid_t child = 0;
  if (const int error = ::posix_spawnp(&child, words[0], nullptr, nullptr, words.data(), environ)) {
    throw std::system_error(error, std::generic_category(), "fusermount3");
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw busy(mountpoint);
}

void unmount(const std::string& mountpoint, bool lazy) {
  if (::geteuid() != 0) return unmount_through_fusermount(mountpoint, lazy);
  // Who asks the daemon something, as monitor does now and then, is there for a moment only.
  constexpr int attempts = 5;
  for (int attempt = 1;; ++attempt) {
    if (::umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0) return;
    if (errno != EBUSY || attempt == attempts) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (errno == EBUSY) throw busy(mountpoint);
  throw_errno(mountpoint);
}

void wait_for_end(const UniqueFd& daemon) {
  if (!daemon) return;  // it has ended already
  pollfd ended{.fd = daemon.get(), .events = POLLIN, .revents = 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
}

/// The last word of the daemon is that the set is closed.
void check_closed(const std::string& store, Streams streams) {
  const auto folder = SetFolder::open(store);
  if (!folder) return;
  const auto record = RecordFile(*folder).read();
  if (record && !record->seal) {
    throw std::runtime_error(
        "the daemon ended before everything was on disk: see its log; the next mount will tell more");
  }
  if (!record) return;
  for (const SnapshotRecord& snapshot : record->snapshots) {
    if (!snapshot.merging || snapshot.invalid) continue;
    streams.err << fmt::format(
        "dmsnap: umount: the merge of '{}' is not at its end: the next mount goes on with it; until then {} alone is "
        "not what the origin showed\n",
        snapshot.name, record->origin);
  }
}

class Umount final : public Command {
 public:
  std::string_view name() const override { return "umount"; }
  std::string_view summary() const override {
    return "Unmount, and return when everything is on disk and the daemon is gone";
  }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("lazy,l",
                          "detach it now; what is open is served until it is closed, and nobody waits for that");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string mountpoint = canonical_mount_point(operand(values, "MOUNTPOINT"));
    nlohmann::json status;
    try {
      if (!clean_dead_mount(mountpoint)) status = ask_mount(name(), mountpoint, {{"verb", "status"}}).at("status");
    } catch (const std::runtime_error&) {
      if (!clean_dead_mount(mountpoint)) throw;  // it has died since
    }
    if (status.is_null()) {
      streams.err << "dmsnap: umount: " << mountpoint
                  << ": its daemon had died; what was not flushed before is lost, the next mount finds the rest\n";
      return done;
    }
    const bool lazy = values.count("lazy") > 0;
    const UniqueFd daemon(static_cast<int>(::syscall(SYS_pidfd_open, status.at("pid").get<pid_t>(), 0)));
    unmount(mountpoint, lazy);
    if (lazy) return done;
    wait_for_end(daemon);
    if (!status.at("read_only").get<bool>()) check_closed(status.at("store"), streams);
    return done;
  }
};

}  // namespace

const Command& umount_command() {
  static const Umount command;
  return command;
}

}  // namespace dmsnap::cli
