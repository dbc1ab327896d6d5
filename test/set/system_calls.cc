// SPDX-License-Identifier: GPL-2.0-or-later
#include "system_calls.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <type_traits>
#include <utility>

namespace dmsnap::system_calls {

namespace {

thread_local Watch* current = nullptr;

std::string name_of(int fd) {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).filename();
}

int ask(const std::string& call) {
  if (current == nullptr) return 0;
  Watch* const watch = std::exchange(current, nullptr);
  const int error = (*watch)(call);
  current = watch;
  return error;
}

template <class Function, class... Arguments>
auto forward(const char* name, const std::string& call, Arguments... arguments) {
  static_assert(std::is_invocable_v<Function, Arguments...>);
  if (const int error = ask(call); error != 0) {
    errno = error;
    return static_cast<std::invoke_result_t<Function, Arguments...>>(-1);
  }
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name))(arguments...);
}

}  // namespace

Watching::Watching(Watch watch) {
  current = new Watch(std::move(watch));
}
Watching::~Watching() {
  delete std::exchange(current, nullptr);
}

std::vector<std::string> recorded(const std::function<void()>& action) {
  std::vector<std::string> calls;
  const Watching watching([&](const std::string& call) {
    calls.push_back(call);
    return 0;
  });
  action();
  return calls;
}

bool killed_before(int n, const std::function<void()>& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    const Watching watching([left = n](const std::string&) mutable {
      if (left-- == 0) ::kill(::getpid(), SIGKILL);
      return 0;
    });
    try {
      action();
    } catch (...) {
      ::_exit(2);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return false;
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) std::abort();
  return true;
}

}  // namespace dmsnap::system_calls

extern "C" {

// NOLINTBEGIN
int fsync(int fd) {
  using namespace dmsnap::system_calls;
  return forward<int (*)(int)>("fsync", "fsync " + name_of(fd), fd);
}

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  using namespace dmsnap::system_calls;
  return forward<int (*)(int, const char*, int, const char*)>("renameat", std::string("rename ") + from + " -> " + to,
                                                              from_folder, from, to_folder, to);
}

int unlinkat(int folder, const char* name, int flags) noexcept {
  using namespace dmsnap::system_calls;
  return forward<int (*)(int, const char*, int)>("unlinkat", std::string("unlink ") + name, folder, name, flags);
}

int ftruncate(int fd, off_t length) noexcept {
  using namespace dmsnap::system_calls;
  return forward<int (*)(int, off_t)>("ftruncate", "truncate " + name_of(fd), fd, length);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  using namespace dmsnap::system_calls;
  return forward<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite", "write " + name_of(fd), fd, data, size,
                                                               offset);
}
// NOLINTEND
}
