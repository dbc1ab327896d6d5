// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "dmsnap/exported_file.h"
#include "fuse/deferred_reply.h"
#include "fuse/handle.h"
#include "fuse/sought_images.h"

namespace dmsnap {

/// An open image. Short requests are answered by the thread that reads them, without a hand-off or an allocation.
class ImageHandle final : public Handle {
 public:
  enum class Of { an_opener, its_maker };
  /// `file` has been told opened(), and is told closed() by the destructor, and then, if its maker has it open,
  /// maker_closed().
  ImageHandle(std::shared_ptr<ExportedFile> file, std::shared_ptr<OwedAnswers> owed,
              std::shared_ptr<SoughtImages> sought, Of whose = Of::an_opener);
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
  /// Cut at the end of either file; EFBIG when it begins behind the end of this one.
  void copy(Reply reply, const std::shared_ptr<ExportedFile>& source, std::uint64_t from, std::uint64_t to,
            std::uint64_t bytes) override;
  void size_set() override;
  void close_descriptor(Reply reply) override;
  std::shared_ptr<ExportedFile> image() const override { return file_; }
  bool may_wait_to_close() const override { return whose_ == Of::its_maker; }

 private:
  /// What the sender of a request may be copying to a file that it has made; null: nothing.
  std::shared_ptr<ExportedFile> source_of(const Reply& reply) const;

  const std::shared_ptr<ExportedFile> file_;
  const std::shared_ptr<OwedAnswers> owed_;
  const std::shared_ptr<SoughtImages> sought_;
  const Of whose_;
};

}  // namespace dmsnap
