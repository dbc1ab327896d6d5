// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/set_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>

#include "base/system_error.h"
#include "set/atomic_file.h"
#include "set/image_format.h"
#include "set/open_file.h"
#include "set/set_error.h"

namespace dmsnap {

namespace {

std::string command_of(long pid) {
  constexpr std::size_t enough = 120;
  std::ifstream file(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
  std::string words{std::istreambuf_iterator<char>(file), {}};
  if (words.size() > enough) words.resize(enough);
  while (!words.empty() && words.back() == '\0') words.pop_back();
  std::ranges::replace_if(
      words, [](char c) { return c >= 0 && c < ' '; }, ' ');
  return words;
}

[[noreturn]] void refuse(const SetFolder& folder, int fd) {
  const std::string in_use = folder.path() + ": the set is in use by ";
  std::array<char, 5000> text{};
  const auto n = ::pread(fd, text.data(), text.size(), 0);
  const std::string_view line(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  long pid = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), pid);
  const std::string command = error == std::errc() && pid > 0 ? command_of(pid) : "";
  if (command.empty()) {
    const std::string holder = "another process";
    throw SetInUse(
        fmt::format("{}{}; stop it first: fuser -v {}", in_use, holder, shell_word(folder.path_of(SetLock::file_name))),
        holder, "");
  }
  std::string_view mountpoint = line.substr(static_cast<std::size_t>(end - line.data()));
  mountpoint = mountpoint.substr(0, mountpoint.find('\n'));
  const std::string holder = fmt::format("process {} ({})", pid, command);
  if (!mountpoint.starts_with(' ')) throw SetInUse(in_use + holder + "; stop it first", holder, "");
  mountpoint.remove_prefix(1);
  throw SetInUse(fmt::format("{}{}, mounted on {}; unmount it first: dmsnap umount {}", in_use, holder, mountpoint,
                             shell_word(mountpoint)),
                 holder, std::string(mountpoint));
}

UniqueFd open_lock_file(const SetFolder& folder, LockMode mode) {
  UniqueFd fd = open_file_at(folder.fd(), SetLock::file_name, O_RDWR | O_CREAT, 0600);
  if (fd) return fd;
  if (mode == LockMode::exclusive) throw_errno(folder.path_of(SetLock::file_name));
  fd = open_file_at(folder.fd(), SetLock::file_name, O_RDONLY);
  const bool cannot_have_one = !fd && (errno == ENOENT || errno == EROFS);
  if (!fd && !cannot_have_one) throw_errno(folder.path_of(SetLock::file_name));
  return fd;
}

}  // namespace

SetLock::SetLock(const SetFolder& folder, LockMode mode, const std::string& mountpoint)
    : fd_(open_lock_file(folder, mode)), mode_(mode) {
  if (!fd_) return;
  if (!lock_file(fd_.get(), mode, folder.path_of(file_name))) refuse(folder, fd_.get());
  record_holder(mountpoint);
}

void SetLock::record_holder(const std::string& mountpoint) const {
  if (!fd_) return;
  const bool named = mode_ == LockMode::exclusive;
  const std::string text = !named               ? ""
                           : mountpoint.empty() ? fmt::format("{}\n", ::getpid())
                                                : fmt::format("{} {}\n", ::getpid(), mountpoint);
  if (write_fully(fd_.get(), text, 0)) static_cast<void>(::ftruncate(fd_.get(), static_cast<off_t>(text.size())) == 0);
}

}  // namespace dmsnap
