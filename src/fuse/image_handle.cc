// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/image_handle.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "fuse/request_loop.h"
#include "fuse/ring.h"
#include "fuse/waiting_threads.h"

namespace dmsnap {

namespace {

/// Memory for one answer: that of the request where it has some, else of this thread, which the next one overwrites.
std::span<std::byte> answer_buffer(std::size_t size) {
  if (const auto payload = payload_of_this_request(); payload.size() >= size) return payload.first(size);
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

void answer_read(Reply reply, std::error_code outcome, std::span<const std::byte> data) {
  if (outcome) return std::move(reply).error(outcome);
  std::move(reply).data(data);
}

void answer_write(Reply reply, std::error_code outcome, std::span<const std::byte> data) {
  if (outcome) return std::move(reply).error(outcome);
  std::move(reply).written(data.size());
}

}  // namespace

ImageHandle::ImageHandle(std::shared_ptr<ExportedFile> file, std::shared_ptr<OwedAnswers> owed,
                         std::shared_ptr<SoughtImages> sought, Of whose)
    : file_(std::move(file)), owed_(std::move(owed)), sought_(std::move(sought)), whose_(whose) {}

std::shared_ptr<ExportedFile> ImageHandle::source_of(const Reply& reply) const {
  return whose_ == Of::its_maker ? sought_->by(fuse_req_ctx(reply.request())->pid) : nullptr;
}

ImageHandle::~ImageHandle() {
  file_->closed();
  if (whose_ == Of::its_maker) file_->maker_closed();
}

void ImageHandle::read(Reply reply, std::size_t size, std::uint64_t offset) {
  const std::uint64_t end = file_->size();
  const auto to = answer_buffer(static_cast<std::size_t>(std::min<std::uint64_t>(size, end - std::min(offset, end))));
  if (to.empty()) return std::move(reply).data({});
  if (to.size() >= large_request) call_for_help();
  if (const auto outcome = file_->try_read(offset, to)) return answer_read(std::move(reply), *outcome, to);
  do_what_may_wait([file = file_, reply = std::move(reply), offset, to]() mutable {
    answer_read(std::move(reply), file->read(offset, to), to);
  });
}

void ImageHandle::write(Reply reply, std::span<const std::byte> data, std::uint64_t offset) {
  const std::uint64_t end = file_->size();
  if (offset > end || data.size() > end - offset) return std::move(reply).error(std::errc::file_too_large);
  if (auto source = source_of(reply)) {
    return do_what_may_wait(
        [file = file_, source = std::move(source), reply = std::move(reply), offset, data]() mutable {
          const auto copied = file->maker_copies(*source, offset, data.size(), data);
          answer_write(std::move(reply), copied ? *copied : file->write(offset, data), data);
        });
  }
  if (data.size() >= large_request) call_for_help();
  if (const auto outcome = file_->try_write(offset, data)) return answer_write(std::move(reply), *outcome, data);
  const auto deferred = std::make_shared<DeferredReply>(std::move(reply), owed_);
  do_what_may_wait([file = file_, deferred, offset, data] {
    file->write_when_room(
        offset, data, [deferred, bytes = data.size()](std::error_code why) { deferred->answer_written(why, bytes); });
  });
}

void ImageHandle::zero(Reply reply, std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t end = file_->size();
  bytes = std::min(bytes, end - std::min(offset, end));
  if (bytes == 0) return std::move(reply).done();
  auto source = source_of(reply);
  const auto deferred = std::make_shared<DeferredReply>(std::move(reply), owed_);
  do_what_may_wait([file = file_, source = std::move(source), deferred, offset, bytes] {
    if (source) {
      if (const auto copied = file->maker_copies(*source, offset, bytes, {})) return deferred->answer(*copied);
    }
    file->zero_when_room(offset, bytes, [deferred](std::error_code why) { deferred->answer(why); });
  });
}

void ImageHandle::seek(Reply reply, std::uint64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return std::move(reply).error(std::errc::invalid_argument);
  if (offset >= file_->size()) return std::move(reply).error(std::errc::no_such_device_or_address);
  sought_->sought(fuse_req_ctx(reply.request())->pid, file_);
  do_what_may_wait([file = file_, reply = std::move(reply), offset, whence]() mutable {
    const auto found = whence == SEEK_DATA ? file->next_data(offset) : file->next_hole(offset);
    if (!found) return std::move(reply).error(found.error());
    std::move(reply).position(*found);
  });
}

void ImageHandle::sync(Reply reply) {
  const auto deferred = std::make_shared<DeferredReply>(std::move(reply), owed_);
  file_->flush([deferred](std::error_code why) { deferred->answer(why); });
}

void ImageHandle::copy(Reply reply, const std::shared_ptr<ExportedFile>& source, std::uint64_t from, std::uint64_t to,
                       std::uint64_t bytes) {
  if (!source) return std::move(reply).error(std::errc::invalid_argument);
  const std::uint64_t end = file_->size();
  if (to >= end) return std::move(reply).error(std::errc::file_too_large);
  bytes = std::min({bytes, end - to, source->size() - std::min(from, source->size())});
  if (bytes == 0) return std::move(reply).written(0);
  do_what_may_wait([file = file_, source, reply = std::move(reply), from, to, bytes]() mutable {
    const auto copied = file->copy_from(*source, from, to, bytes);
    if (!copied) return std::move(reply).error(copied.error());
    std::move(reply).written(*copied);
  });
}

void ImageHandle::size_set() {
  if (whose_ == Of::its_maker) file_->maker_sets_size();
}

void ImageHandle::close_descriptor(Reply reply) {
  if (whose_ != Of::its_maker) return std::move(reply).done();
  do_what_may_wait(
      [file = file_, reply = std::move(reply)]() mutable { std::move(reply).error(file->maker_closes()); });
}

}  // namespace dmsnap
