// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/cow_file.h"
#include "cli/progress_bar.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"
#include "tools/check.h"

namespace dmsnap::cli {

namespace {

constexpr const char* invalid_text =
    "the header says that the snapshot is invalid: it could not keep what it promised, and its content is lost";

nlohmann::json to_json(const Finding& finding) {
  nlohmann::json object{{"defect", name(finding.defect)}, {"area", finding.at.area},
                        {"slot", finding.at.used},        {"byte", finding.byte},
                        {"text", describe(finding)},      {"consequence", consequence(finding.defect)}};
  if (finding.entry.length > 0) {
    object["origin_chunk"] = finding.entry.origin.value();
    object["cow_chunk"] = finding.entry.copy.value();
  }
  return object;
}

nlohmann::json to_json(const std::string& path, const CheckReport& report) {
  nlohmann::json object{{"file", path},
                        {"sound", report.sound()},
                        {"valid", report.header.valid},
                        {"chunk_bytes", report.header.geometry.chunk_bytes()},
                        {"cow_sectors", report.cow_sectors},
                        {"exceptions", report.exceptions},
                        {"runs", report.runs},
                        {"areas", report.areas},
                        {"unnamed_chunks", report.unnamed_chunks},
                        {"findings", nlohmann::json::array()},
                        {"counts", nlohmann::json::object()}};
  for (const Finding& finding : report.findings) object["findings"].push_back(to_json(finding));
  for (const auto& [defect, count] : report.counts) object["counts"][std::string(name(defect))] = count;
  return object;
}

/// The first few of each kind, and what each kind means.
void print_findings(const CheckReport& report, std::ostream& out) {
  constexpr std::uint64_t shown_of_a_kind = 8;
  for (const auto& [defect, count] : report.counts) {
    std::uint64_t shown = 0;
    for (const Finding& finding : report.findings) {
      if (finding.defect == defect && shown++ < shown_of_a_kind) out << describe(finding) << "\n";
    }
    if (count > shown_of_a_kind) out << fmt::format("    and {} more of this kind\n", count - shown_of_a_kind);
    out << "    if the store is used: " << consequence(defect) << "\n";
  }
  if (!report.header.valid) out << invalid_text << "\n";
}

void print(const std::string& path, const CheckReport& report, std::ostream& out) {
  print_findings(report, out);
  std::uint64_t findings = report.header.valid ? 0 : 1;
  for (const auto& [defect, count] : report.counts) findings += count;
  out << fmt::format(
      "{}: {}: {} exceptions in {} runs, chunks of {}, {} metadata areas", path,
      report.sound() ? "sound" : fmt::format("damaged, {} finding{}", findings, findings == 1 ? "" : "s"),
      report.exceptions, report.runs, human_size(report.header.geometry.chunk_bytes()), report.areas);
  if (report.unnamed_chunks > 0) out << fmt::format(", {} chunks in use by none", report.unnamed_chunks);
  out << "\n";
}

class Check final : public Command {
 public:
  std::string_view name() const override { return "check"; }
  std::string_view summary() const override { return "Look whether a COW file or device is sound; writes nothing"; }
  std::vector<std::string> operands() const override { return {"COWFILE"}; }
  void describe(po::options_description& options) const override {
    options.add_options()                                                                                         //
        ("origin", po::value<std::string>(), "its origin, whose size the COW file does not know; default: none")  //
        ("json", "print JSON")                                                                                    //
        ("quiet,q", "print nothing: the exit status tells");
  }
  int run(const po::variables_map& values, Streams streams) const override {
    const std::string path = operand(values, "COWFILE");
    const auto cow = open_to_look(path);
    std::optional<std::uint64_t> origin_sectors;
    if (values.count("origin")) origin_sectors = open_to_look(values["origin"].as<std::string>())->sectors();
    ProgressBar bar(streams.err);
    try {
      const CheckReport report = check_store(*cow, origin_sectors, std::ref(bar));
      bar.clear();
      if (values.count("json")) {
        streams.out << to_json(path, report).dump(2) << "\n";
      } else if (!values.count("quiet")) {
        print(path, report, streams.out);
      }
      return report.sound() ? done : damage_found;
    } catch (const NoStoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const StoreError& error) {
      return print_unusable(path, error.what(), values, streams);
    } catch (const std::system_error& error) {
      throw std::runtime_error(path + ": " + error.what());
    }
  }

 private:
  /// A header with which nothing else can be looked at.
  static int print_unusable(const std::string& path, const std::string& why, const po::variables_map& values,
                            Streams streams) {
    if (values.count("json")) {
      streams.out << nlohmann::json{{"file", path}, {"sound", false}, {"header", why}}.dump(2) << "\n";
    } else if (!values.count("quiet")) {
      streams.out << path << ": damaged: " << why << "\n";
    }
    return damage_found;
  }
};

}  // namespace

const Command& check_command() {
  static const Check command;
  return command;
}

}  // namespace dmsnap::cli
