// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/pending_store.h"

#include <utility>

namespace dmsnap {

PendingStore::PendingStore(const SetFolder& folder, std::string name, std::unique_ptr<LentStore> lent)
    : folder_(&folder), name_(std::move(name)), lent_(std::move(lent)), fd_(duplicate(lent_->fd())) {}

PendingStore::PendingStore(PendingStore&& other) noexcept
    : folder_(other.folder_),
      owned_(std::exchange(other.owned_, false)),
      name_(std::move(other.name_)),
      lent_(std::move(other.lent_)),
      fd_(std::move(other.fd_)),
      cow_sectors_(other.cow_sectors_),
      notice_(std::move(other.notice_)) {}

PendingStore::~PendingStore() {
  if (owned_ && !lent_) folder_->discard(temporary_cow_file(name_));
}

void PendingStore::keep() {
  owned_ = false;
  if (lent_) lent_->keep();
}

void PendingStore::describe(std::uint64_t cow_sectors, std::string notice) {
  cow_sectors_ = cow_sectors;
  notice_ = std::move(notice);
}

}  // namespace dmsnap
