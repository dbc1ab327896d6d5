// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "set/set_folder.h"

namespace dmsnap {

/// A set that was made a moment ago and holds nothing yet: destroyed before keep(), it takes its files away again, and
/// the folder, if that was made for it. The folder outlives it.
class NewSet {
 public:
  enum class Folder { made, was_there };

  NewSet(const SetFolder& folder, Folder made) : folder_(folder), made_(made) {}
  NewSet(const NewSet&) = delete;
  NewSet& operator=(const NewSet&) = delete;
  ~NewSet();

  void keep() { kept_ = true; }

 private:
  const SetFolder& folder_;
  const Folder made_;
  bool kept_ = false;
};

}  // namespace dmsnap
