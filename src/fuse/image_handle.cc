// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/image_handle.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "fuse/request_loop.h"

namespace dmsnap {

namespace {

/// Memory of this thread for one answer; the next one overwrites it.
std::span<std::byte> answer_buffer(std::size_t size) {
  constexpr std::size_t page = 4096;
  constexpr std::size_t usual_largest = 1 << 20;
  struct Buffer {
    std::unique_ptr<std::byte, decltype(&std::free)> memory{nullptr, &std::free};
    std::size_t size = 0;
  };
  thread_local Buffer buffer;
  if (buffer.size < size) {
    const std::size_t wanted = std::max(usual_largest, (size + page - 1) / page * page);
    buffer.memory.reset(static_cast<std::byte*>(std::aligned_alloc(page, wanted)));
    buffer.size = buffer.memory ? wanted : 0;
    if (!buffer.memory) throw std::bad_alloc();
  }
  return {buffer.memory.get(), size};
}

}  // namespace

ImageHandle::ImageHandle(std::shared_ptr<ExportedFile> file, std::shared_ptr<OwedAnswers> owed)
    : file_(std::move(file)), owed_(std::move(owed)) {}

ImageHandle::~ImageHandle() {
  file_->closed();
}

void ImageHandle::read(Reply reply, std::size_t size, std::uint64_t offset) {
  const std::uint64_t end = file_->size();
  const auto to = answer_buffer(static_cast<std::size_t>(std::min<std::uint64_t>(size, end - std::min(offset, end))));
  if (to.empty()) return std::move(reply).data({});
  if (to.size() >= large_request) call_for_help();
  auto outcome = file_->try_read(offset, to);
  if (!outcome) {
    hand_on();
    outcome = file_->read(offset, to);
  }
  if (*outcome) return std::move(reply).error(*outcome);
  std::move(reply).data(to);
}

void ImageHandle::write(Reply reply, std::span<const std::byte> data, std::uint64_t offset) {
  const std::uint64_t end = file_->size();
  if (offset > end || data.size() > end - offset) return std::move(reply).error(std::errc::file_too_large);
  if (data.size() >= large_request) call_for_help();
  auto outcome = file_->try_write(offset, data);
  if (!outcome) {
    hand_on();
    outcome = file_->write(offset, data);
  }
  if (*outcome) return std::move(reply).error(*outcome);
  std::move(reply).written(data.size());
}

void ImageHandle::sync(Reply reply) {
  const auto deferred = std::make_shared<DeferredReply>(std::move(reply), owed_);
  file_->flush([deferred](std::error_code why) { deferred->answer(why); });
}

}  // namespace dmsnap
