// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/control_handle.h"

#include <algorithm>
#include <list>
#include <utility>

namespace dmsnap {

class ControlHandle::Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(ControlHandler& handler, ControlThreads& threads) : handler_(handler), threads_(threads) {}

  /// Why the text was not taken.
  std::error_code take(std::string_view text) EXCLUDES(mutex_);
  void read(WaitingRead read) EXCLUDES(mutex_);
  void await_end(Reply reply) EXCLUDES(mutex_);

 private:
  std::optional<std::string> collect(std::string_view text) REQUIRES(mutex_);
  void begin(std::string lines);
  void carry_out(std::string_view lines) EXCLUDES(mutex_);
  void end(std::string answer) EXCLUDES(mutex_);
  std::uint64_t begin_of_answer(std::uint64_t offset) REQUIRES(mutex_);

  ControlHandler& handler_;
  ControlThreads& threads_;
  WaitingReads reads_;

  Mutex mutex_;
  std::string request_ GUARDED_BY(mutex_);  ///< no newline in it yet
  bool busy_ GUARDED_BY(mutex_) = false;
  std::deque<std::string> queue_ GUARDED_BY(mutex_);  ///< the lines of a write each, behind those in hand
  std::size_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  std::vector<Reply> closings_ GUARDED_BY(mutex_);
  std::string answer_ GUARDED_BY(mutex_);
  std::optional<std::uint64_t> answer_begin_ GUARDED_BY(mutex_);  ///< the position that the reply is read from
};

namespace {

/// The first of the lines, which each end with a newline; it is taken away.
std::string_view next_line(std::string_view& lines) {
  const std::size_t end = lines.find('\n');
  const std::string_view line = lines.substr(0, end);
  lines.remove_prefix(end + 1);
  return line;
}

bool only_looks(const ControlHandler& handler, std::string_view lines) {
  while (!lines.empty()) {
    if (!handler.only_looks(next_line(lines))) return false;
  }
  return true;
}

constexpr std::string_view too_much_asked =
    R"({"error":"not carried out: the replies to the requests before it, in the same write, fill 16 MiB","ok":false})"
    "\n";

}  // namespace

std::error_code ControlHandle::Conversation::take(std::string_view text) {
  std::string lines;
  {
    MutexLock lock(mutex_);
    if (queued_bytes_ + text.size() > most_queued_bytes) return std::make_error_code(std::errc::no_buffer_space);
    auto collected = collect(text);
    if (!collected) return std::make_error_code(std::errc::message_size);
    if (collected->empty()) return {};
    if (busy_) {
      queued_bytes_ += collected->size();
      queue_.push_back(*std::move(collected));
      return {};
    }
    busy_ = true;
    lines = *std::move(collected);
  }
  begin(std::move(lines));
  return {};
}

/// The complete lines, with their newlines; nothing when one of them, or the rest, is too long.
std::optional<std::string> ControlHandle::Conversation::collect(std::string_view text) {
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

void ControlHandle::Conversation::begin(std::string lines) {
  auto& threads = only_looks(handler_, lines) ? threads_.lookers : threads_.changers;
  try {
    threads.run(
        WaitingThreads::Work([self = shared_from_this(), lines = std::move(lines)] { self->carry_out(lines); }));
  } catch (const std::system_error&) {
    end(R"({"error":"no thread can be had for the request","ok":false})"
        "\n");
  }
}

void ControlHandle::Conversation::carry_out(std::string_view lines) {
  std::string answer;
  while (!lines.empty()) {
    const std::string_view line = next_line(lines);
    answer += answer.size() < most_reply_bytes ? handler_.handle(line) : too_much_asked;
  }
  end(std::move(answer));
}

void ControlHandle::Conversation::end(std::string answer) {
  std::string next;
  std::vector<Reply> closings;
  std::vector<std::uint64_t> begins;
  std::list<WaitingRead> reads;
  {
    MutexLock lock(mutex_);
    answer_ = answer;
    answer_begin_.reset();
    if (!queue_.empty()) {
      next = std::move(queue_.front());
      queue_.pop_front();
      queued_bytes_ -= next.size();
    } else {
      busy_ = false;
      closings.swap(closings_);
      reads = reads_.take_all();
      for (const WaitingRead& each : reads) begins.push_back(begin_of_answer(each.offset));
    }
  }
  if (!next.empty()) return begin(std::move(next));
  // With the lock given back: who has the answer may close the file.
  for (std::size_t i = 0; WaitingRead & each : reads) {
    answer_part(std::move(each.reply), std::as_bytes(std::span(answer)), each.size, each.offset - begins[i++]);
  }
  for (Reply& each : closings) std::move(each).done();
}

std::uint64_t ControlHandle::Conversation::begin_of_answer(std::uint64_t offset) {
  if (!answer_.empty()) answer_begin_ = std::min(answer_begin_.value_or(offset), offset);
  return answer_begin_.value_or(offset);
}

void ControlHandle::Conversation::read(WaitingRead read) {
  std::string answer;
  std::uint64_t begin = 0;
  {
    MutexLock lock(mutex_);
    if (busy_) return reads_.add(std::move(read));
    begin = begin_of_answer(read.offset);
    answer = answer_;
  }
  answer_part(std::move(read.reply), std::as_bytes(std::span(answer)), read.size, read.offset - begin);
}

void ControlHandle::Conversation::await_end(Reply reply) {
  {
    MutexLock lock(mutex_);
    if (busy_) return closings_.push_back(std::move(reply));
  }
  std::move(reply).done();
}

ControlHandle::ControlHandle(ControlHandler& handler, ControlThreads& threads, bool can_be_read)
    : conversation_(std::make_shared<Conversation>(handler, threads)), can_be_read_(can_be_read) {}

void ControlHandle::write(Reply reply, std::span<const std::byte> data, std::uint64_t /*offset*/) {
  if (const auto why = conversation_->take({reinterpret_cast<const char*>(data.data()), data.size()})) {
    return std::move(reply).error(why);
  }
  std::move(reply).written(data.size());
}

void ControlHandle::read(Reply reply, std::size_t size, std::uint64_t offset) {
  // A read that was interrupted is answered with a lock of the conversation held, and the file may be closed then.
  const auto conversation = conversation_;
  conversation->read({.reply = std::move(reply), .size = size, .offset = offset});
}

void ControlHandle::close_descriptor(Reply reply) {
  if (can_be_read_) return std::move(reply).done();
  conversation_->await_end(std::move(reply));
}

}  // namespace dmsnap
