// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "support/rig.h"
#include "vectors/case_file.h"
#include "vectors/devices.h"

namespace dmsnap::test {

/// Carries out the ops of a case on our engine, one after the other, each durable before the next begins (those of
/// writers side by side, too), and checks everything that was recorded on the way. Failures are told to GoogleTest.
class Replay {
 public:
  /// What is on COW devices that were zeros when the kernel was given them.
  enum class Blank { zeros, old_bytes };

  explicit Replay(const Case& described, Blank blank = Blank::zeros);

  /// All ops; stops behind the first that went otherwise than recorded.
  void run();

  /// What the COW device of the snapshot holds now, whether it is active or not.
  Bytes cow(const std::string& name);

  /// The COW devices are not compared: the caller does.
  void leave_out_cows() { compare_cows_ = false; }

  /// Whether we have what the op asks for.
  static bool supports(const Op& op);

 private:
  struct Target {
    FailingDevice* cow = nullptr;  // in `closed` or in the rig
    std::unique_ptr<BlockDevice> closed;
    RigSnapshot* open = nullptr;
  };

  /// What the op gave: "ok", or the error as it is recorded.
  Record carry_out(const Op& op);
  Record up(const Op& op);
  Record down(const Op& op);
  Record write(const Op& op, const Bytes& data);
  Record read(const Op& op);
  /// Null: there is no such device.
  ViewFile* file(const std::string& name);
  void settle();

  void expect_event(const Event& event);
  void expect_devices(const Records& devices);
  void expect_cows(const std::map<std::string, std::string>& sums);
  void expect_checkpoint(const Checkpoint& checkpoint);

  const Case& described_;
  FailingDevice origin_;
  std::map<std::string, Target> targets_;
  Rig rig_;  // last: it works on the devices above
  bool compare_cows_ = true;
};

}  // namespace dmsnap::test
