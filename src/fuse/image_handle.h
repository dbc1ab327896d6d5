// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "dmsnap/exported_file.h"
#include "fuse/deferred_reply.h"
#include "fuse/handle.h"

namespace dmsnap {

/// An open image. Short requests are answered by the thread that reads them, without a hand-off or an allocation.
class ImageHandle final : public Handle {
 public:
  /// `file` has been told opened(), and is told closed() by the destructor.
  ImageHandle(std::shared_ptr<ExportedFile> file, std::shared_ptr<OwedAnswers> owed);
  ~ImageHandle() override;

  /// Cut at the end of the file.
  void read(Reply reply, std::size_t size, std::uint64_t offset) override;
  /// EFBIG when the range ends behind the file: nothing is written then.
  void write(Reply reply, std::span<const std::byte> data, std::uint64_t offset) override;
  /// Cut at the end of the file.
  void zero(Reply reply, std::uint64_t offset, std::uint64_t bytes) override;
  /// SEEK_DATA, SEEK_HOLE; ENXIO at the end of the file and behind it.
  void seek(Reply reply, std::uint64_t offset, int whence) override;
  /// Answered by whatever thread finishes the flush.
  void sync(Reply reply) override;

 private:
  const std::shared_ptr<ExportedFile> file_;
  const std::shared_ptr<OwedAnswers> owed_;
};

}  // namespace dmsnap
