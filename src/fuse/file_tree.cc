// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/file_tree.h"

#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "base/system_error.h"

namespace dmsnap {

namespace {

/// FUSE_UNKNOWN_INO
constexpr fuse_ino_t unknown_inode = 0xffffffff;

std::timespec now() {
  std::timespec t{};
  std::timespec_get(&t, TIME_UTC);
  return t;
}

Node image_node(std::shared_ptr<ExportedFile> image) {
  const fuse_ino_t inode = image->id();
  return {.inode = inode, .kind = Node::Kind::image, .text_name = {}, .image = std::move(image)};
}

Node made_node(std::shared_ptr<ExportedFile> image) {
  Node node = image_node(std::move(image));
  node.made = true;
  return node;
}

Node plain_node(fuse_ino_t inode, Node::Kind kind) {
  return {.inode = inode, .kind = kind, .text_name = {}, .image = nullptr};
}

auto none() {
  return failure(errc(std::errc::no_such_file_or_directory));
}

auto stale() {
  return failure({ESTALE, std::generic_category()});
}

}  // namespace

FileTree::FileTree(ExportedTree& tree, bool open_to_others)
    : tree_(tree),
      texts_(tree.text_names()),
      folder_mode_(open_to_others ? 0755 : 0700),
      user_(::getuid()),
      group_(::getgid()),
      mounted_at_(now()) {
  if (texts_.size() > delta_inode - first_text_inode) throw std::length_error("too many text files in .dmsnap");
}

Result<Node> FileTree::find(fuse_ino_t folder, std::string_view name) {
  switch (folder) {
    case root_inode: return find_in_root(name);
    case snapshots_inode: return find_snapshot(name);
    case dot_dmsnap_inode: return find_in_dot_dmsnap(name);
    case delta_inode: return find_delta(name);
    default: break;
  }
  const auto found = node(folder);
  return failure(found ? errc(std::errc::not_a_directory) : found.error());
}

Result<Node> FileTree::find_in_root(std::string_view name) {
  if (name == "origin") return image_node(tree_.origin());
  if (name == "snapshots") return plain_node(snapshots_inode, Node::Kind::snapshots);
  if (name == ".dmsnap") return plain_node(dot_dmsnap_inode, Node::Kind::dot_dmsnap);
  return none();
}

Result<Node> FileTree::find_in_dot_dmsnap(std::string_view name) const {
  if (name == "control") return fixed_node(control_inode);
  if (name == "delta") return fixed_node(delta_inode);
  const auto text = std::find(texts_.begin(), texts_.end(), name);
  if (text == texts_.end()) return none();
  return fixed_node(first_text_inode + static_cast<fuse_ino_t>(text - texts_.begin()));
}

Result<Node> FileTree::find_snapshot(std::string_view name) {
  auto image = tree_.snapshot(name);
  if (!image) return none();
  MutexLock lock(mutex_);
  Known& known = known_[image->id()];
  known.name = name;
  ++known.lookups;
  return image_node(std::move(image));
}

Result<Node> FileTree::find_delta(std::string_view name) {
  auto image = tree_.delta(name);
  if (!image) return failure(image.error());
  MutexLock lock(mutex_);
  Known& known = known_[(*image)->id()];
  known.name = name;
  known.made = *image;
  ++known.lookups;
  return made_node(*std::move(image));
}

Result<Node> FileTree::fixed_node(fuse_ino_t inode) const {
  switch (inode) {
    case root_inode: return plain_node(inode, Node::Kind::root);
    case snapshots_inode: return plain_node(inode, Node::Kind::snapshots);
    case dot_dmsnap_inode: return plain_node(inode, Node::Kind::dot_dmsnap);
    case delta_inode: return plain_node(inode, Node::Kind::delta);
    case control_inode: return plain_node(inode, Node::Kind::control);
    default: break;
  }
  if (inode - first_text_inode >= texts_.size()) return stale();
  return Node{
      .inode = inode, .kind = Node::Kind::text, .text_name = texts_[inode - first_text_inode], .image = nullptr};
}

Result<Node> FileTree::node(fuse_ino_t inode) {
  if (inode < first_image_inode) return fixed_node(inode);
  if (auto origin = tree_.origin(); origin->id() == inode) return image_node(std::move(origin));
  std::string name;
  {
    MutexLock lock(mutex_);
    const auto known = known_.find(inode);
    if (known == known_.end()) return stale();
    if (known->second.made) return made_node(known->second.made);
    name = known->second.name;
  }
  auto image = tree_.snapshot(name);
  if (image && image->id() == inode) return image_node(std::move(image));
  return renamed_node(inode);
}

/// Of a file that is open, or is looked up, while it gets another name.
Result<Node> FileTree::renamed_node(fuse_ino_t inode) {
  for (const std::string& name : tree_.snapshot_names()) {
    auto image = tree_.snapshot(name);
    if (!image || image->id() != inode) continue;
    MutexLock lock(mutex_);
    if (const auto known = known_.find(inode); known != known_.end()) known->second.name = name;
    return image_node(std::move(image));
  }
  return stale();
}

void FileTree::forget(fuse_ino_t inode, std::uint64_t lookups) {
  MutexLock lock(mutex_);
  const auto known = known_.find(inode);
  if (known == known_.end()) return;
  if (known->second.lookups <= lookups) {
    known_.erase(known);
  } else {
    known->second.lookups -= lookups;
  }
}

struct stat FileTree::attributes(const Node& node) const {
  struct stat s {};
  s.st_ino = node.inode;
  s.st_uid = user_;
  s.st_gid = group_;
  s.st_blksize = 4096;
  s.st_nlink = node.is_folder() ? 2 : 1;
  s.st_mtim = s.st_ctim = s.st_atim = mounted_at_;
  switch (node.kind) {
    case Node::Kind::root:
    case Node::Kind::snapshots:
    case Node::Kind::dot_dmsnap:
    case Node::Kind::delta: s.st_mode = S_IFDIR | folder_mode_; break;
    case Node::Kind::control: s.st_mode = S_IFREG | 0600; break;
    case Node::Kind::text: s.st_mode = S_IFREG | 0400; break;
    case Node::Kind::image:
      s.st_uid = node.image->owner().user;
      s.st_gid = node.image->owner().group;
      s.st_mode = S_IFREG | (node.image->owner().mode & (node.image->writable() ? 0777U : 0555U));
      s.st_size = static_cast<off_t>(node.image->size());
      s.st_blocks = static_cast<blkcnt_t>((node.image->allocated_bytes() + 511) / 512);
      s.st_mtim = s.st_ctim = s.st_atim = node.image->created();
      break;
  }
  return s;
}

std::vector<FolderEntry> FileTree::list(fuse_ino_t folder) {
  std::vector<FolderEntry> entries{{".", folder, S_IFDIR}, {"..", root_inode, S_IFDIR}};
  switch (folder) {
    case root_inode:
      entries.push_back({"origin", tree_.origin()->id(), S_IFREG});
      entries.push_back({"snapshots", snapshots_inode, S_IFDIR});
      return entries;
    case snapshots_inode:
      for (auto& name : tree_.snapshot_names()) {
        if (const auto image = tree_.snapshot(name)) entries.push_back({std::move(name), image->id(), S_IFREG});
      }
      return entries;
    case dot_dmsnap_inode:
      entries.push_back({"control", control_inode, S_IFREG});
      entries.push_back({"delta", delta_inode, S_IFDIR});
      for (fuse_ino_t inode = first_text_inode; const auto& name : texts_) entries.push_back({name, inode++, S_IFREG});
      return entries;
    case delta_inode:
      // Their numbers are known when they are looked for.
      for (auto& name : tree_.delta_names()) entries.push_back({std::move(name), unknown_inode, S_IFREG});
      return entries;
    default: return {};
  }
}

}  // namespace dmsnap
