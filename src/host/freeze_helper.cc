// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/freeze_helper.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "host/capabilities.h"

namespace dmsnap {

namespace {

/// To open a mount point in another process's mount namespace takes what tracing it takes, and a way to it.
constexpr std::array kept_capabilities{Capability::sys_admin, Capability::sys_ptrace, Capability::dac_read_search};

/// Nothing but the socket, as number 3.
void close_all_but(int socket) {
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  constexpr int kept = 3;
  if (socket != kept) ::dup2(socket, kept);
  ::close_range(kept + 1, ~0U, 0);
}

/// Memory that had to be fetched, or made free, could wait for what is frozen. Without rights beyond the limit later
/// memory could be refused if it had to be locked, too: then there is a heap ahead, and that is locked.
void lock_everything() {
  const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  if (::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) {
    ::mlockall(MCL_CURRENT | MCL_FUTURE);
    return;
  }
  constexpr int heap_bytes = 1 << 20;
  ::mallopt(M_TRIM_THRESHOLD, 2 * heap_bytes);
  ::mallopt(M_MMAP_THRESHOLD, heap_bytes);
  ::mallopt(M_TOP_PAD, heap_bytes);
  // Too large for what is free now, so the heap grows, and stays so.
  void* volatile grown = std::malloc(heap_bytes / 2);
  std::free(grown);
  ::mlockall(MCL_CURRENT);
}

[[noreturn]] void run_helper(int socket) {
  ::prctl(PR_SET_NAME, "dmsnap-freeze");
  close_all_but(socket);
  if (::chdir("/") != 0) ::_exit(1);
  // Signals of a terminal or of a service manager go to the daemon, too; the helper ends after it.
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  lock_everything();
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (!keep_only(kept_capabilities)) ::_exit(1);
  Freezer(3, kernel_freeze_calls(), FreezeHelper::limit).run();
  ::_exit(0);
}

template <class Number>
Number number_in(const std::string& word) {
  Number number = 0;
  std::from_chars(word.data(), word.data() + word.size(), number);
  return number;
}

}  // namespace

std::unique_ptr<FreezeHelper> FreezeHelper::start(std::string& why) {
  if (!has_capability(Capability::sys_admin)) {
    why = "that takes root (CAP_SYS_ADMIN)";
    return nullptr;
  }
  std::array<int, 2> ends;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) throw_errno("socketpair");
  UniqueFd ours(ends[0]);
  const UniqueFd its(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) throw_errno("fork the freeze helper");
  if (child == 0) run_helper(its.get());
  return std::make_unique<FreezeHelper>(std::move(ours), child);
}

FreezeHelper::FreezeHelper(UniqueFd socket, pid_t process, std::chrono::milliseconds patience)
    : socket_(std::move(socket)), process_(process), patience_(patience) {}

FreezeHelper::~FreezeHelper() {
  if (!socket_) return;
  socket_.reset();
  if (process_ != 0) ::waitpid(process_, nullptr, 0);
}

void FreezeHelper::give_up(const std::string& why) {
  socket_.reset();
  if (process_ != 0) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  throw FreezeHelperGone(why);
}

Words FreezeHelper::ask(const Words& request, std::chrono::milliseconds patience) {
  if (!socket_) throw FreezeHelperGone("the freeze helper has died; unmount and mount again to have one");
  Words answer;
  if (!send_words(socket_.get(), request)) give_up("the freeze helper has died");
  switch (receive_words(socket_.get(), patience, answer)) {
    case Received::words: break;
    case Received::nobody: give_up("the freeze helper has died");
    case Received::nothing_in_time: give_up("the freeze helper did not answer");
  }
  return answer;
}

FreezeHelper::Found FreezeHelper::find(const BackingFile& file) {
  // It writes out what is dirty in filesystems of any size.
  constexpr std::chrono::minutes long_enough(5);
  const Words answer = ask({"find", file.path, std::to_string(file.device), std::to_string(file.inode)}, long_enough);
  Found found;
  std::size_t i = 1;
  constexpr std::size_t members = 6;
  for (; i + members <= answer.size() && answer[i] != "notes"; i += members) {
    const std::string& on = answer[i + 3];
    found.filesystems.push_back({.device = number_in<dev_t>(answer[i]),
                                 .type = answer[i + 1],
                                 .point = answer[i + 2],
                                 .on = on.empty() ? std::nullopt : std::optional(number_in<std::size_t>(on)),
                                 .why_not = answer[i + 4],
                                 .read_only = answer[i + 5] == "ro"});
  }
  for (++i; i < answer.size(); ++i) found.notes.push_back(answer[i]);
  return found;
}

std::vector<std::string> FreezeHelper::freeze(const std::vector<std::size_t>& which) {
  Words request{"freeze"};
  for (const std::size_t index : which) request.push_back(std::to_string(index));
  Words answer = ask(request, patience_);
  if (answer.size() != request.size()) give_up("the freeze helper's answer cannot be understood");
  answer.erase(answer.begin());
  return answer;
}

FreezeHelper::Thawed FreezeHelper::thaw() {
  const Words answer = ask({"thaw"}, patience_ / 2);
  if (answer.size() != 3) give_up("the freeze helper's answer cannot be understood");
  return {.lasted = std::chrono::microseconds(number_in<std::int64_t>(answer[1])), .broken = answer[2]};
}

}  // namespace dmsnap
