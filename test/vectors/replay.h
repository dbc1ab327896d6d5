// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "support/rig.h"
#include "vectors/case_file.h"
#include "vectors/devices.h"
#include "vectors/kernel_merge.h"

namespace dmsnap::test {

/// Carries out the ops of a case on our engine, one after the other, each durable before the next begins (those of
/// writers side by side, too), and checks everything that was recorded on the way. Failures are told to GoogleTest.
///
/// Two kinds of ops are more than the engine has. A merge is KernelMerge's; where the kernel's was stopped by the
/// clock, it stops where the next status line says. A discard that zeroes is a write of zeros to the chunks that have
/// exceptions.
class Replay {
 public:
  /// What is on COW devices that were zeros when the kernel was given them.
  enum class Blank { zeros, old_bytes };

  explicit Replay(const Case& described, Blank blank = Blank::zeros);

  /// The ops before number `end`; stops behind the first that went otherwise than recorded.
  void run(std::size_t end);

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
    Op features;  // of the table line
  };

  /// What the op gave: "ok", or the error as it is recorded.
  Record carry_out(std::size_t number);
  Record up(const Op& op);
  Record down(const Op& op);
  Record write(const Op& op, const Bytes& data);
  Record read(const Op& op);
  Record discard(const Op& op);
  Record merge(std::size_t number);
  std::error_code write_origin(Sector to, const Bytes& data);
  /// Of the snapshot that merges, or did, as the kernel told it next from op `number` on.
  std::optional<std::string> next_status(std::size_t number) const;
  std::string status(const std::string& device) const;
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
  Rig rig_;  // it works on the devices above
  std::optional<KernelMerge> merge_;
  bool compare_cows_ = true;
};

}  // namespace dmsnap::test
