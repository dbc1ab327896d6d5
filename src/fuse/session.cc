// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/session.h"

#include <utility>

#include "fuse/cache_invalidator.h"
#include "fuse/file_tree.h"
#include "fuse/mount.h"
#include "fuse/operations.h"
#include "fuse/request_loop.h"

namespace dmsnap {

/// In the order of dependence: what comes later uses what comes earlier, and goes first.
struct Session::Parts {
  Parts(ExportedTree& tree, ControlHandler& control, const SessionOptions& options)
      : operations(tree, control, options.allow_other),
        mount(options, Operations::table(), &operations),
        loop(mount.session(), options.max_threads),
        contents(mount.session()),
        names(mount.session()) {}

  Operations operations;
  FuseMount mount;
  RequestLoop loop;
  CacheInvalidator contents;
  /// By itself: it waits for folders that requests in progress have locked, and these may wait for contents.
  CacheInvalidator names;
};

Session::Session(ExportedTree& tree, ControlHandler& control, const SessionOptions& options)
    : parts_(std::make_unique<Parts>(tree, control, options)) {}

Session::~Session() = default;

void Session::run() {
  struct AtTheEnd {
    Parts& parts;
    ~AtTheEnd() {
      parts.mount.stop_rings();
      parts.operations.finish();
    }
  };
  const AtTheEnd finish{*parts_};
  parts_->mount.serve_rings();
  parts_->loop.run();
}

Transport Session::transport() const {
  return parts_->mount.transport();
}

void Session::detach() {
  parts_->mount.detach();
}

void Session::forget_content(std::uint64_t file_id, Completion done) {
  parts_->contents.content(file_id, std::move(done));
}

void Session::forget_name(std::string_view snapshot, Completion done) {
  parts_->names.name(snapshots_inode, snapshot, std::move(done));
}

}  // namespace dmsnap
