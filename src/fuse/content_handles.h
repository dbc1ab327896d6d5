// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fuse/file_tree.h"
#include "fuse/handle.h"

namespace dmsnap {

/// An open text file of `.dmsnap`: the content of the moment when it was opened.
class TextHandle final : public Handle {
 public:
  explicit TextHandle(std::string text) : text_(std::move(text)) {}
  void read(Reply reply, std::size_t size, std::uint64_t offset) override;

 private:
  const std::string text_;
};

/// An open folder: the entries of the moment when it was opened, so that no position slips while names come and go.
class FolderHandle final : public Handle {
 public:
  explicit FolderHandle(std::vector<FolderEntry> entries) : entries_(std::move(entries)) {}
  void read(Reply reply, std::size_t size, std::uint64_t offset) override;

 private:
  const std::vector<FolderEntry> entries_;
};

}  // namespace dmsnap
