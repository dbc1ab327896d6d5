// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/pending_store.h"

#include <utility>

namespace dmsnap {

PendingStore::PendingStore(PendingStore&& other) noexcept
    : folder_(other.folder_),
      owned_(std::exchange(other.owned_, false)),
      name_(std::move(other.name_)),
      fd_(std::move(other.fd_)),
      cow_sectors_(other.cow_sectors_),
      notice_(std::move(other.notice_)) {}

PendingStore::~PendingStore() {
  if (owned_) folder_->discard(temporary_cow_file(name_));
}

void PendingStore::describe(std::uint64_t cow_sectors, std::string notice) {
  cow_sectors_ = cow_sectors;
  notice_ = std::move(notice);
}

}  // namespace dmsnap
