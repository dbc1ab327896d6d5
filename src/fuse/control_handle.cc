// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/control_handle.h"

#include <algorithm>
#include <utility>

#include "fuse/waiting_threads.h"

namespace dmsnap {

void ControlHandle::write(Reply reply, std::span<const std::byte> data, std::uint64_t /*offset*/) {
  auto lines = collect({reinterpret_cast<const char*>(data.data()), data.size()});
  if (!lines) return std::move(reply).error(std::errc::message_size);
  if (lines->empty()) return std::move(reply).written(data.size());
  do_what_may_wait([this, reply = std::move(reply), lines = *std::move(lines), size = data.size()]() mutable {
    answer(lines);
    std::move(reply).written(size);
  });
}

void ControlHandle::answer(std::string_view lines) {
  std::string answer;
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    answer += handler_.handle(lines.substr(0, end));
    lines.remove_prefix(end + 1);
  }
  MutexLock lock(mutex_);
  answer_ = std::move(answer);
  answer_begin_.reset();
}

/// The complete lines, with their newlines; nothing when one of them, or the rest, is too long.
std::optional<std::string> ControlHandle::collect(std::string_view text) {
  MutexLock lock(mutex_);
  std::string all = std::exchange(request_, {});
  all += text;
  for (std::string_view rest = all; !rest.empty();) {
    const std::size_t length = std::min(rest.find('\n'), rest.size());
    if (length > max_control_request) return std::nullopt;
    rest.remove_prefix(std::min(length + 1, rest.size()));
  }
  const std::size_t complete = all.rfind('\n') + 1;  // npos + 1 is 0
  request_ = all.substr(complete);
  all.resize(complete);
  return all;
}

void ControlHandle::read(Reply reply, std::size_t size, std::uint64_t offset) {
  std::string answer;
  std::uint64_t begin = offset;
  {
    MutexLock lock(mutex_);
    if (!answer_.empty()) answer_begin_ = std::min(answer_begin_.value_or(offset), offset);
    begin = answer_begin_.value_or(offset);
    answer = answer_;
  }
  // With the lock given back: who has the answer may close the file, and the handle is gone.
  answer_part(std::move(reply), std::as_bytes(std::span(answer)), size, offset - begin);
}

}  // namespace dmsnap
