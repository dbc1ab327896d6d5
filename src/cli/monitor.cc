// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <sys/stat.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/human_size.h"
#include "base/system_error.h"
#include "cli/ask_mount.h"
#include "cli/verbs.h"
#include "host/mount_point.h"

namespace dmsnap::cli {

namespace {

constexpr std::chrono::milliseconds between_looks(200);

std::string mounts_of(const nlohmann::json& event) {
  std::string all;
  for (const auto& each : event["mounts"]) all += (all.empty() ? "" : ", ") + each.get<std::string>();
  return all;
}

/// What stands behind the name of the event, for people.
std::string told(const nlohmann::json& event) {
  const std::string what = event["event"];
  if (what == "threshold") return fmt::format("{} % full", event["percent"].get<unsigned>());
  if (what == "overflow" || what == "invalidated") return event["reason"];
  if (what == "grown") return "to " + human_size(event["total_bytes"].get<std::uint64_t>());
  if (what == "merge-progress") {
    return fmt::format("{} %, {} left", event["percent"].get<unsigned>(),
                       human_size(event["left_bytes"].get<std::uint64_t>()));
  }
  if (what == "error") return event["message"];
  if (what == "freeze") return mounts_of(event);
  if (what == "thaw") return fmt::format("after {:.1f} ms", event["lasted_ms"].get<double>());
  if (what == "missed") return fmt::format("{} events", event["count"].get<std::uint64_t>());
  return "";
}

void print_event(const nlohmann::json& event, bool json, std::ostream& out) {
  if (json) {
    out << event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return;
  }
  std::string line = event.value("time", "-") + " " + event["event"].get<std::string>();
  if (event.contains("snapshot")) line += " " + event["snapshot"].get<std::string>();
  if (const std::string more = told(event); !more.empty()) line += ": " + more;
  out << line << "\n";
}

/// Whether what is mounted there is still the mount that was there first.
class SameMount {
 public:
  explicit SameMount(const std::string& point) : control_(point + "/.dmsnap/control") {
    device_ = device();
    if (!device_) throw_errno(control_);
  }
  bool there() const { return device() == device_; }

 private:
  std::optional<dev_t> device() const {
    struct stat status {};
    return ::stat(control_.c_str(), &status) == 0 ? std::optional(status.st_dev) : std::nullopt;
  }

  const std::string control_;
  std::optional<dev_t> device_;
};

class Monitor final : public Command {
 public:
  std::string_view name() const override { return "monitor"; }
  std::string_view summary() const override { return "Print what happens to the mount, until it is gone"; }
  std::vector<std::string> operands() const override { return {"MOUNTPOINT"}; }
  void describe(po::options_description& options) const override {
    options.add_options()("json", "print a JSON object a line");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string point = canonical_mount_point(operand(values, "MOUNTPOINT"));
    auto news = ask_mount(name(), point, {{"verb", "events"}});
    const SameMount mount(point);
    for (;;) {
      const std::uint64_t newest = news["newest"];
      if (const std::uint64_t missed = news["missed"]; missed > 0) {
        print_event({{"event", "missed"}, {"count", missed}}, values.count("json") > 0, streams.out);
      }
      for (const auto& event : news["events"]) print_event(event, values.count("json") > 0, streams.out);
      if (!streams.out.flush()) throw std::system_error(last_error(), "write to standard output");
      if (news["events"].empty()) std::this_thread::sleep_for(between_looks);
      try {
        news = ask_mount(name(), point, {{"verb", "events"}, {"after", newest}});
      } catch (const std::exception&) {
        if (died(point)) throw;
        return done;
      }
      if (news["newest"] < newest || !mount.there()) return done;
    }
  }

 private:
  /// A mount that is left without its daemon.
  static bool died(const std::string& point) {
    struct stat status {};
    return ::stat(point.c_str(), &status) != 0 && errno == ENOTCONN;
  }
};

}  // namespace

const Command& monitor_command() {
  static const Monitor command;
  return command;
}

}  // namespace dmsnap::cli
