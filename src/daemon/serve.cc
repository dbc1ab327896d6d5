// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/serve.h"

#include <absl/cleanup/cleanup.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>

#include "base/system_error.h"
#include "base/unique_fd.h"
#include "daemon/mounted_set.h"
#include "daemon/set_control.h"
#include "fuse/session.h"
#include "host/detached_users.h"
#include "host/mount_point.h"
#include "host/mount_table.h"
#include "host/process_setup.h"

namespace dmsnap {

namespace {

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

/// The thread `dmsnap-signal`: the first signal detaches the mount, which is then served until its last file is closed.
class SignalThread {
 public:
  SignalThread(Session& session, MountedSet& set)
      : thread_([&session, &set](const std::stop_token& stop) { run(stop, session, set); }) {}

 private:
  static void run(const std::stop_token& stop, Session& session, MountedSet& set) {
    pthread_setname_np(pthread_self(), "dmsnap-signal");
    const sigset_t signals = ending_signals();
    bool detached = false;
    while (!stop.stop_requested()) {
      const timespec tick{.tv_sec = 0, .tv_nsec = 200'000'000};
      const int signal = sigtimedwait(&signals, nullptr, &tick);
      if (signal < 0) continue;
      if (detached) {
        log::info("signal {}: already detached, serving until the last file is closed", signal);
        continue;
      }
      log::info("signal {}: flushing and detaching the mount", signal);
      if (const auto error = set.flush_all()) log::error("flush: {}", error.message());
      set.end_waiting();
      set.log_holders();
      session.detach();
      detached = true;
    }
  }

  std::jthread thread_;
};

void run_session(const ServeOptions& options, MountedSet& set, const std::function<void()>& ready) {
  SetControl control(set);
  // A read-only set is no read-only mount: the images refuse to be written, but the control file must be.
  Session session(set, control.handler(),
                  {.mountpoint = options.mountpoint,
                   .fsname = set.origin_name(),
                   .allow_other = options.allow_other,
                   .transport = options.transport});
  set.serve_over(session.transport());
  set.begin();
  const SignalThread signal_thread(session, set);
  set.tell_changes_to(
      [&session](std::uint64_t file_id, Completion done) { session.forget_content(file_id, std::move(done)); });
  set.tell_names_to(
      [&session](const std::string& name, Completion done) { session.forget_name(name, std::move(done)); });
  const absl::Cleanup no_longer = [&set] {
    set.tell_changes_to(nullptr);
    set.tell_names_to(nullptr);
  };
  ready();
  session.run();
}

bool is_mounted(const std::string& mountpoint) {
  return std::ranges::any_of(mount_table(), [&](const MountEntry& mount) { return mount.point == mountpoint; });
}

std::runtime_error being_closed(const SetInUse& in_use, const std::string& set) {
  std::string users;
  for (const std::string& user : detached_users()) users += (users.empty() ? "" : ", ") + user;
  return std::runtime_error(fmt::format(
      "{}: the set is being closed by {}: nothing is mounted on {} any more, and it ends when the last file is closed; "
      "close it and mount again: {}",
      set, in_use.holder(), in_use.mountpoint(), users.empty() ? "who has one open cannot be seen from here" : users));
}

/// Waits for a daemon whose mount is gone: it puts everything on disk and ends, as a rule at once.
std::unique_ptr<MountedSet> open_set(const ServeOptions& options, const ProcessSetup& setup, const FreezeMeans& means) {
  constexpr std::chrono::seconds patience(5);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    try {
      return std::make_unique<MountedSet>(options, setup, means);
    } catch (const SetInUse& in_use) {
      if (in_use.mountpoint().empty() || is_mounted(in_use.mountpoint())) throw;
      if (std::chrono::steady_clock::now() >= deadline) throw being_closed(in_use, options.origin.text());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

/// Everything from the set to the mount, in the order in which it must come up; the other way round on return.
void serve_here(const ServeOptions& options, const std::function<void()>& ready) {
  const sigset_t signals = ending_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  // Inherited by threads, so before the first one.
  const ProcessSetup setup{.io_flusher = set_io_flusher(), .memory_locked = lock_memory()};

  std::string why_no_helper;
  const auto helper = FreezeHelper::start(why_no_helper);
  const auto set = open_set(options, setup, {.helper = helper.get(), .why_none = why_no_helper});
  try {
    run_session(options, *set, ready);
  } catch (...) {
    set->close();
    throw;
  }
  set->close();
}

/// While somebody waits for the outcome of the mount, warnings are for his eyes, too.
log::Options log_options(const ServeOptions& options, bool watched) {
  log::Options to = options.log;
  to.syslog = to.file.empty() && !options.foreground;
  to.watched = watched;
  to.fields = {{"DMSNAP_ORIGIN", options.origin.text()}, {"DMSNAP_MOUNTPOINT", options.mountpoint}};
  return to;
}

void detach_from_terminal(const ServeOptions& options) {
  log::configure(log_options(options, false));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), fd);
  if (::chdir("/") != 0) log::warning("chdir /: {}", last_error().message());
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::write(fd, text.data(), text.size());
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

/// In the daemon: the pipe gets "R" once ready, or the reason why it will not be.
[[noreturn]] void run_daemon(const ServeOptions& options, UniqueFd pipe) {
  int status = 0;
  try {
    ::setsid();
    serve_here(options, [&] {
      detach_from_terminal(options);
      write_all(pipe.get(), "R");
      pipe.reset();
    });
  } catch (const std::exception& error) {
    status = 1;
    if (pipe) {
      write_all(pipe.get(), error.what());
    } else {
      log::error("{}", error.what());
    }
  }
  std::_Exit(status);
}

void prepare_mount_place(const ServeOptions& options) {
  const std::string store = options.store.empty() ? options.origin.text() + ".dmsnap" : options.store;
  prepare_mount_point(options.mountpoint, std::array{options.origin.path, store});
  check_fuse_device();
}

std::string read_pipe(int fd) {
  std::string text;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(got));
    if (text.starts_with('R')) return text;
  }
}

}  // namespace

void serve(const ServeOptions& asked) {
  log::configure(log_options(asked, true));
  prepare_mount_place(asked);
  ServeOptions options = asked;
  options.mountpoint = canonical_mount_point(asked.mountpoint);
  if (options.foreground) return serve_here(options, [] {});
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("pipe");
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) run_daemon(options, std::move(to));
  to.reset();
  const std::string answer = read_pipe(from.get());
  if (answer.starts_with('R')) return;
  ::waitpid(child, nullptr, 0);
  throw std::runtime_error(answer.empty() ? "the daemon died while it was starting" : answer);
}

}  // namespace dmsnap
