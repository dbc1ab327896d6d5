// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/set_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/log.h"
#include "base/system_error.h"
#include "set/atomic_file.h"
#include "set/image_format.h"
#include "set/open_file.h"
#include "set/set_error.h"

namespace dmsnap {

namespace {

constexpr std::string_view temporary_prefix = ".tmp-";
constexpr std::string_view cow_suffix = ".cow";

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void check_trust(const struct stat& status, const std::string& path) {
  if ((status.st_mode & S_IWOTH) != 0) {
    throw SetError(
        fmt::format("{}: everybody may write into it; take that right away: chmod o-w {}", path, shell_word(path)));
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    throw SetError(
        fmt::format("{}: belongs to user {}, not to you (user {}); run dmsnap as its owner, or chown -R {} {}", path,
                    status.st_uid, ::geteuid(), ::geteuid(), shell_word(path)));
  }
}

}  // namespace

std::optional<SetFolder> SetFolder::open(const std::string& given) {
  const std::string path = without_slashes(given);
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    throw_errno(path);
  }
  if (S_ISLNK(status.st_mode)) throw SetError(path + " is a symbolic link; name the folder itself with --store");
  if (!S_ISDIR(status.st_mode))
    throw SetError(path + " is no folder; move it away, or name another folder with --store");
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || ::fstat(fd.get(), &status) != 0) throw_errno(path);
  check_trust(status, path);
  return SetFolder(std::move(fd), resolve_path(path));
}

SetFolder SetFolder::create(const std::string& given) {
  const std::string path = without_slashes(given);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw_errno(path + ": creating the folder of the set");
  const UniqueFd parent(::open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent || !sync_folder(parent.get())) throw_errno(parent_of(path));
  auto folder = open(path);
  if (!folder) throw SetError(path + " vanished; try again");
  return std::move(*folder);
}

bool SetFolder::exists(const std::string& name) const {
  struct stat status {};
  return ::fstatat(fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

std::vector<std::string> SetFolder::entries() const {
  const int own = ::openat(fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (own < 0) throw_errno(path_);
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(own), &::closedir);
  if (!directory) throw_errno(path_);
  std::vector<std::string> names;
  for (errno = 0; const dirent* entry = ::readdir(directory.get()); errno = 0) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  if (errno != 0) throw_errno(path_);
  return names;
}

bool SetFolder::on_read_only_storage() const {
  return ::faccessat(fd(), ".", W_OK, AT_EACCESS) != 0 && errno == EROFS;
}

UniqueFd SetFolder::create_file(const std::string& name) const {
  UniqueFd file = open_file_at(fd(), name, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (!file) throw_errno(path_of(name));
  return file;
}

UniqueFd SetFolder::open_file(const std::string& name, int flags) const {
  UniqueFd file = open_file_at(fd(), name, flags);
  if (!file) throw_errno(path_of(name));
  return file;
}

void SetFolder::rename(const std::string& from, const std::string& to) const {
  if (::renameat(fd(), from.c_str(), fd(), to.c_str()) != 0) throw_errno(path_of(from) + ": renaming it to " + to);
}

void SetFolder::sync() const {
  if (!sync_folder(fd())) throw_errno(path_ + ": fsync");
}

bool SetFolder::discard(const std::string& name) const {
  constexpr std::size_t header_bytes = 4096;
  if (const UniqueFd file = open_file_at(fd(), name, O_WRONLY); file) {
    struct stat status {};
    const bool regular = ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode);
    if (regular && write_fully(file.get(), std::string(header_bytes, '\0'), 0)) ::fsync(file.get());
  }
  if (::unlinkat(fd(), name.c_str(), 0) == 0 || errno == ENOENT) return true;
  log::warning("{}: could not be removed: {}", path_of(name), last_error().message());
  return false;
}

std::string cow_file(const std::string& name) {
  return name + std::string(cow_suffix);
}

std::string temporary_cow_file(const std::string& name) {
  return std::string(temporary_prefix) + cow_file(name);
}

std::optional<std::string> name_of_temporary(const std::string& file) {
  const std::size_t around = temporary_prefix.size() + cow_suffix.size();
  if (file.size() <= around || !file.starts_with(temporary_prefix) || !file.ends_with(cow_suffix)) return std::nullopt;
  return file.substr(temporary_prefix.size(), file.size() - around);
}

}  // namespace dmsnap
