// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <cstddef>
#include <nlohmann/json.hpp>

#include "cli/cow_file.h"
#include "cli/json_output.h"
#include "cli/progress_bar.h"
#include "cli/size.h"
#include "cli/verbs.h"
#include "dmsnap/error.h"
#include "tools/check.h"

namespace dmsnap::cli {

namespace {

using nlohmann::json;

constexpr std::uint64_t shown_of_a_kind = 8;

/// What is wrong with the header, which has neither area nor slot.
struct HeaderFinding {
  std::string_view defect;
  std::uint64_t byte;
  std::string text;
  std::string_view consequence;
};

HeaderFinding unusable(const HeaderError& error) {
  return {"header-unusable", error.byte(), error.what(), "the kernel refuses to load the store"};
}

std::optional<HeaderFinding> header_finding(const CheckReport& report) {
  if (report.header.valid) return std::nullopt;
  return HeaderFinding{"snapshot-invalid", offsetof(disk::Header, valid),
                       "the header says that the snapshot is invalid: it could not keep what it promised",
                       "its content is lost, and everything read from it fails"};
}

std::string describe(const HeaderFinding& finding) {
  return fmt::format("header (byte {}): {}", finding.byte, finding.text);
}

json to_json(const HeaderFinding& finding) {
  return {{"defect", finding.defect}, {"area", nullptr},           {"slot", nullptr},
          {"byte", finding.byte},     {"origin_chunk", nullptr},   {"cow_chunk", nullptr},
          {"earlier", nullptr},       {"text", describe(finding)}, {"consequence", finding.consequence}};
}

json to_json(const Finding& finding) {
  const bool entry = finding.entry.length > 0;
  return {{"defect", name(finding.defect)},
          {"area", finding.at.area},
          {"slot", finding.at.used},
          {"byte", finding.byte},
          {"origin_chunk", entry ? json(finding.entry.origin.value()) : json()},
          {"cow_chunk", entry ? json(finding.entry.copy.value()) : json()},
          {"earlier", finding.other ? json{{"area", finding.other->area}, {"slot", finding.other->used}} : json()},
          {"text", describe(finding)},
          {"consequence", consequence(finding.defect)}};
}

/// All members that there ever are; of a store whose header cannot be used nothing else is known.
json to_json(const std::string& path, const HeaderFinding& finding) {
  return {{"file", path},
          {"sound", false},
          {"valid", nullptr},
          {"chunk_bytes", nullptr},
          {"cow_sectors", nullptr},
          {"exceptions", 0},
          {"runs", 0},
          {"areas", 0},
          {"unnamed_chunks", 0},
          {"entries_behind", 0},
          {"counts", {{finding.defect, 1}}},
          {"left_out", 0},
          {"findings", json::array({to_json(finding)})}};
}

json to_json(const std::string& path, const CheckReport& report) {
  json findings = json::array();
  json counts = json::object();
  std::uint64_t total = 0;
  for (const Finding& finding : report.findings) findings.push_back(to_json(finding));
  for (const auto& [defect, count] : report.counts) {
    counts[std::string(name(defect))] = count;
    total += count;
  }
  const std::uint64_t left_out = total - report.findings.size();
  if (const auto finding = header_finding(report)) {
    counts[std::string(finding->defect)] = 1;
    findings.insert(findings.begin(), to_json(*finding));
  }
  return {{"file", path},
          {"sound", report.sound()},
          {"valid", report.header.valid},
          {"chunk_bytes", report.header.geometry.chunk_bytes()},
          {"cow_sectors", report.cow_sectors},
          {"exceptions", report.exceptions},
          {"runs", report.runs},
          {"areas", report.areas},
          {"unnamed_chunks", report.unnamed_chunks},
          {"entries_behind", report.entries_behind},
          {"counts", counts},
          {"left_out", left_out},
          {"findings", findings}};
}

void print_consequence(std::string_view text, std::ostream& out) {
  out << "    if the store is used: " << text << "\n";
}

void print(const HeaderFinding& finding, std::ostream& out) {
  out << describe(finding) << "\n";
  print_consequence(finding.consequence, out);
}

/// The first few of each kind, and what each kind means.
void print_findings(const CheckReport& report, std::ostream& out) {
  if (const auto finding = header_finding(report)) print(*finding, out);
  for (const auto& [defect, count] : report.counts) {
    std::uint64_t shown = 0;
    for (const Finding& finding : report.findings) {
      if (finding.defect == defect && shown++ < shown_of_a_kind) out << describe(finding) << "\n";
    }
    if (count > shown_of_a_kind) out << fmt::format("    and {} more of this kind\n", count - shown_of_a_kind);
    if (defect == Defect::stale_tail) {
      out << "    entries that lie behind the end of the list and look right: " << report.entries_behind << "\n";
    }
    print_consequence(consequence(defect), out);
  }
}

void print(const std::string& path, const CheckReport& report, std::ostream& out) {
  print_findings(report, out);
  std::uint64_t findings = report.header.valid ? 0 : 1;
  for (const auto& [defect, count] : report.counts) findings += count;
  out << fmt::format("{}: {}: {} in {}, chunks of {}, {}", path,
                     report.sound() ? "sound" : "damaged, " + counted(findings, "finding"),
                     counted(report.exceptions, "exception"), counted(report.runs, "run"),
                     human_size(report.header.geometry.chunk_bytes()), counted(report.areas, "metadata area"));
  if (report.unnamed_chunks > 0) out << ", " << counted(report.unnamed_chunks, "chunk") << " named by no entry";
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
    if (values.count("quiet") && values.count("json")) throw UsageError("--quiet and --json exclude each other");
    const std::string path = operand(values, "COWFILE");
    const auto cow = open_to_look(path);
    std::optional<std::uint64_t> origin_sectors;
    if (values.count("origin")) origin_sectors = open_to_look(values["origin"].as<std::string>())->sectors();
    try {
      const CheckReport report = look(*cow, origin_sectors, values.count("quiet") > 0, streams.err);
      if (values.count("json")) {
        print_json(streams.out, to_json(path, report));
      } else if (!values.count("quiet")) {
        print(path, report, streams.out);
      }
      return report.sound() ? done : damage_found;
    } catch (const HeaderError& error) {
      tell_unusable(path, error, values, streams.out);
      return damage_found;
    } catch (const NoStoreError& error) {
      throw std::runtime_error(path + ": " + error.what());
    } catch (const ReadError& error) {
      throw std::runtime_error(path + ": " + error.what());
    }
  }

 private:
  static CheckReport look(BlockDevice& cow, std::optional<std::uint64_t> origin_sectors, bool quiet,
                          std::ostream& err) {
    if (quiet) return check_store(cow, origin_sectors, [](std::uint64_t, std::uint64_t) {});
    ProgressBar bar(err);
    return check_store(cow, origin_sectors, std::ref(bar));
  }
  static void tell_unusable(const std::string& path, const HeaderError& error, const po::variables_map& values,
                            std::ostream& out) {
    if (values.count("json")) {
      print_json(out, to_json(path, unusable(error)));
    } else if (!values.count("quiet")) {
      print(unusable(error), out);
      out << path << ": damaged, 1 finding\n";
    }
  }
};

}  // namespace

const Command& check_command() {
  static const Check command;
  return command;
}

}  // namespace dmsnap::cli
