// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/content_handles.h"

namespace dmsnap {

void TextHandle::read(Reply reply, std::size_t size, std::uint64_t offset) {
  answer_part(std::move(reply), std::as_bytes(std::span(text_)), size, offset);
}

void FolderHandle::read(Reply reply, std::size_t size, std::uint64_t offset) {
  std::vector<char> listing(size);
  std::size_t used = 0;
  for (std::uint64_t i = offset; i < entries_.size(); ++i) {
    const FolderEntry& entry = entries_[i];
    struct stat s {};
    s.st_ino = entry.inode;
    s.st_mode = entry.type;
    const std::size_t left = size - used;
    const std::size_t taken = fuse_add_direntry(reply.request(), listing.data() + used, left, entry.name.c_str(), &s,
                                                static_cast<off_t>(i + 1));
    if (taken > left) break;
    used += taken;
  }
  std::move(reply).data(std::as_bytes(std::span(listing)).first(used));
}

}  // namespace dmsnap
