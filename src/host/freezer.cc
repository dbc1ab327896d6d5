// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/freezer.h"

#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

namespace dmsnap {

namespace {

class KernelFreezeCalls final : public FreezeCalls {
 public:
  FilesystemStack find(const BackingFile& file) override { return filesystems_on(file); }
  Result<UniqueFd> open(const StackedFilesystem& filesystem) override { return open_filesystem(filesystem.ways); }
  std::error_code sync(int fd) override { return outcome(::syncfs(fd)); }
  std::error_code freeze(int fd) override { return outcome(::ioctl(fd, FIFREEZE, 0)); }
  std::error_code thaw(int fd) override { return outcome(::ioctl(fd, FITHAW, 0)); }

 private:
  static std::error_code outcome(int returned) { return returned == 0 ? std::error_code() : last_error(); }
};

std::uint64_t number_in(const std::string& word) {
  std::uint64_t number = 0;
  std::from_chars(word.data(), word.data() + word.size(), number);
  return number;
}

}  // namespace

FreezeCalls& kernel_freeze_calls() {
  static KernelFreezeCalls calls;
  return calls;
}

void Freezer::run() {
  for (;;) {
    Words request;
    switch (receive_words(socket_, patience(), request)) {
      case Received::nobody: thaw_all(); return;
      case Received::nothing_in_time:
        broken_ = fmt::format("thawed after {} s, before the snapshot was taken",
                              std::chrono::duration<double>(limit_).count());
        thaw_all();
        continue;
      case Received::words: break;
    }
    if (!send_words(socket_, answer(request))) {
      thaw_all();
      return;
    }
  }
}

std::optional<std::chrono::milliseconds> Freezer::patience() const {
  if (!since_) return std::nullopt;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*since_ + limit_ - Clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

Words Freezer::answer(const Words& request) {
  const std::string verb = request.empty() ? "" : request.front();
  if (verb == "find" && request.size() == 4) return find(request);
  if (verb == "freeze") return freeze(request);
  if (verb == "thaw") return thaw();
  return {"unknown"};
}

/// find PATH DEVICE INODE: for each filesystem found DEVICE TYPE POINT ON WHY-NOT ro|rw, then "notes" and these.
Words Freezer::find(const Words& request) {
  thaw_all();
  opened_.clear();
  const FilesystemStack stack =
      calls_.find({.path = request[1], .device = number_in(request[2]), .inode = number_in(request[3])});
  Words answer{"found"};
  for (const StackedFilesystem& each : stack.filesystems) {
    const std::string why_not = prepare(each, opened_.emplace_back());
    for (const std::string& word :
         {std::to_string(each.device), each.type, each.point, each.on ? std::to_string(*each.on) : std::string(),
          why_not, std::string(each.read_only ? "ro" : "rw")}) {
      answer.push_back(word);
    }
  }
  answer.emplace_back("notes");
  std::ranges::copy(stack.notes, std::back_inserter(answer));
  return answer;
}

std::string Freezer::prepare(const StackedFilesystem& filesystem, Opened& opened) {
  // One that a process serves would have to be asked, and its process may wait for us.
  if (filesystem.type.starts_with("fuse")) return "a filesystem of this kind cannot be frozen";
  auto fd = calls_.open(filesystem);
  if (!fd) return "it cannot be opened: " + fd.error().message();
  opened.fd = *std::move(fd);
  // What cannot be written now is for the freeze to tell.
  static_cast<void>(calls_.sync(opened.fd.get()));
  return "";
}

/// freeze INDEX...: for each "frozen", "held" (by somebody else), or why not.
Words Freezer::freeze(const Words& request) {
  thaw_all();
  broken_.clear();
  order_.clear();
  since_ = Clock::now();
  Words answer{"froze"};
  for (std::size_t i = 1; i < request.size(); ++i) {
    const std::uint64_t index = number_in(request[i]);
    if (index >= opened_.size() || !opened_[index].fd) {
      answer.emplace_back("it was not found");
      continue;
    }
    answer.push_back(freeze_one(opened_[index]));
    if (opened_[index].frozen != Frozen::no) order_.push_back(index);
  }
  if (order_.empty()) since_.reset();
  return answer;
}

std::string Freezer::freeze_one(Opened& opened) {
  if (expired()) return fmt::format("to freeze took longer than {} s", std::chrono::duration<double>(limit_).count());
  const std::error_code error = calls_.freeze(opened.fd.get());
  if (!error) {
    opened.frozen = Frozen::by_us;
    return "frozen";
  }
  if (error == std::errc::device_or_resource_busy) {
    opened.frozen = Frozen::by_others;
    return "held";
  }
  if (error == std::errc::operation_not_supported) return "a filesystem of this kind cannot be frozen";
  return error.message();
}

/// thaw: "thawed", the time in microseconds, why not everything was frozen until now, if so.
Words Freezer::thaw() {
  if (const std::string why = thaw_all(); broken_.empty()) broken_ = why;
  opened_.clear();  // an open one would keep its mount busy
  return {"thawed", std::to_string(lasted_.count()), broken_};
}

std::string Freezer::thaw_all() {
  std::string why;
  for (; !order_.empty(); order_.pop_back()) {
    const std::string problem = thaw_one(opened_[order_.back()]);
    if (why.empty()) why = problem;
  }
  if (since_) lasted_ = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - *since_);
  since_.reset();
  return why;
}

std::string Freezer::thaw_one(Opened& opened) {
  const Frozen was = std::exchange(opened.frozen, Frozen::no);
  if (was == Frozen::by_us) {
    const std::error_code error = calls_.thaw(opened.fd.get());
    if (error && error != std::errc::invalid_argument) return "it cannot be thawed: " + error.message();
    return error ? "somebody else thawed it before the snapshot was taken" : "";
  }
  // Only who tries to freeze it learns whether it still is.
  if (calls_.freeze(opened.fd.get()) == std::errc::device_or_resource_busy) return "";
  static_cast<void>(calls_.thaw(opened.fd.get()));
  return "who had frozen it thawed it before the snapshot was taken";
}

}  // namespace dmsnap
