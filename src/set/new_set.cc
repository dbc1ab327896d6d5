// SPDX-License-Identifier: GPL-2.0-or-later
#include "set/new_set.h"

#include <unistd.h>

#include <string>

#include "set/atomic_file.h"
#include "set/record_file.h"
#include "set/set_lock.h"

namespace dmsnap {

NewSet::~NewSet() {
  if (kept_) return;
  for (const std::string& name : {std::string(RecordFile::file_name), replacement_name(RecordFile::file_name),
                                  std::string(RecordFile::reserve_file_name), std::string(SetLock::file_name)}) {
    ::unlinkat(folder_.fd(), name.c_str(), 0);
  }
  if (made_ == Folder::made) ::rmdir(folder_.path().c_str());
}

}  // namespace dmsnap
