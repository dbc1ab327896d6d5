// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/system_error.h"
#include "set/atomic_file.h"
#include "set/set_error.h"

namespace dmsnap {

namespace {

constexpr off_t reserve_bytes = 256 << 10;
constexpr std::size_t largest_record = 64U << 20;

std::string read_whole(int fd, const std::string& path) {
  std::string text;
  std::string piece(64U << 10, '\0');
  for (;;) {
    const auto n = ::read(fd, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(path);
    if (n == 0) return text;
    text.append(piece, 0, static_cast<std::size_t>(n));
    if (text.size() > largest_record) throw SetError(path + ": is far too large; put back a good copy of it");
  }
}

}  // namespace

std::optional<SetRecord> RecordFile::read() const {
  if (!folder_.exists(file_name)) return std::nullopt;
  const UniqueFd fd = folder_.open_file(file_name, O_RDONLY);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw_errno(path());
  if (!S_ISREG(status.st_mode)) throw SetError(path() + " is no file; put back a good copy of it");
  return decode_set_record(read_whole(fd.get(), path()), path());
}

void RecordFile::replace(const SetRecord& record, Reserve reserve) {
  if (in_doubt_)
    throw SetError(path() + ": an earlier change could not be synced; unmount, check the disk and mount again");
  const std::string text = encode_set_record(record);
  static_cast<void>(decode_set_record(text, path()));
  Replaced outcome{};
  try {
    outcome = replace_file(folder_.fd(), file_name, text, path());
  } catch (const std::system_error& error) {
    if (reserve == Reserve::keep || !is_no_space(error.code())) throw;
    ::unlinkat(folder_.fd(), reserve_file_name, 0);
    outcome = replace_file(folder_.fd(), file_name, text, path());
    keep_reserve();
  }
  if (outcome == Replaced::durably) return;
  in_doubt_ = true;
  throw_errno(folder_.path() + ": fsync");
}

void RecordFile::keep_reserve() const {
  const UniqueFd fd(::openat(folder_.fd(), reserve_file_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd && ::fallocate(fd.get(), 0, 0, reserve_bytes) != 0) ::unlinkat(folder_.fd(), reserve_file_name, 0);
}

}  // namespace dmsnap
