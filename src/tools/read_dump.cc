// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>

#include "tools/dump.h"

namespace dmsnap {

namespace {

/// Fills in the members of the header by their names, and begins the sink once all are there.
class HeaderReader {
 public:
  explicit HeaderReader(DumpSink& sink) : sink_(sink) {}

  /// False when there is no such member.
  bool set(std::string_view member, std::uint64_t value) {
    if (member == "version") {
      if (value != 1) throw std::runtime_error(fmt::format("version {} of the dump is not known", value));
      seen_ |= 1;
    } else if (member == "valid" && value <= 1) {
      header_.valid = value == 1;
      seen_ |= 2;
    } else if (member == "chunk_sectors" && ChunkGeometry::valid(value)) {
      header_.chunk_sectors = static_cast<std::uint32_t>(value);
      seen_ |= 4;
    } else if (member == "cow_sectors") {
      header_.cow_sectors = value;
      seen_ |= 8;
    } else {
      return false;
    }
    if (complete()) sink_.begin(header_);
    return true;
  }
  bool complete() const { return seen_ == 15; }

 private:
  DumpSink& sink_;
  DumpHeader header_;
  unsigned seen_ = 0;
};

[[noreturn]] void refuse_line(std::uint64_t number, std::string_view line) {
  throw std::runtime_error(fmt::format("line {} of the dump is not understood: {}", number, line.substr(0, 60)));
}

class TextReader {
 public:
  TextReader(std::istream& in, DumpSink& sink) : in_(in), sink_(sink), header_(sink) {}

  void run() {
    for (std::string line; !ended_ && std::getline(in_, line);) {
      ++number_;
      if (line.empty() || line.starts_with('#')) continue;
      if (!header_.complete() ? !header_line(line) : !body_line(line)) refuse_line(number_, line);
    }
    if (!ended_) throw std::runtime_error("the dump was cut off: its line 'end' is missing");
    sink_.end();
  }

 private:
  bool header_line(const std::string& line) {
    std::istringstream words(line);
    std::string member;
    std::uint64_t value = 0;
    if (!(words >> member >> value)) return false;
    if (member == "dmsnap-dump") member = "version";
    if (member == "chunk-sectors") member = "chunk_sectors";
    if (member == "cow-sectors") member = "cow_sectors";
    return header_.set(member, value);
  }

  bool body_line(const std::string& line) {
    std::istringstream words(line);
    if (line.starts_with("end")) {
      std::string word;
      std::uint64_t count = 0;
      ended_ = static_cast<bool>(words >> word >> count) && count == count_;
      return ended_;
    }
    std::array<std::uint64_t, 3> numbers{};
    for (auto& number : numbers) words >> number;
    if (!words || numbers[2] == 0) return false;
    sink_.exceptions({.origin = Chunk(numbers[0]), .copy = CowChunk(numbers[1]), .length = numbers[2]});
    count_ += numbers[2];
    return true;
  }

  std::istream& in_;
  DumpSink& sink_;
  HeaderReader header_;
  std::uint64_t number_ = 0;
  std::uint64_t count_ = 0;
  bool ended_ = false;
};

/// Takes the members as they come: ten million exceptions are never one value in memory.
class JsonReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonReader(DumpSink& sink) : sink_(sink), header_(sink) {}

  bool null() override { return false; }
  bool boolean(bool value) override { return depth_ == 1 && member_ == "valid" && header_.set(member_, value ? 1 : 0); }
  bool number_integer(number_integer_t) override { return false; }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ == 1) return member_ != "valid" && header_.set(member_ == "dmsnap_dump" ? "version" : member_, value);
    if (depth_ != 3 || filled_ == numbers_.size()) return false;
    numbers_.at(filled_++) = value;
    return true;
  }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool string(string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return ++depth_ == 1; }
  bool key(string_t& name) override {
    member_ = name;
    return true;
  }
  bool end_object() override {
    --depth_;
    if (!listed_) return false;
    sink_.end();
    return true;
  }
  bool start_array(std::size_t) override {
    filled_ = 0;
    listed_ = true;
    return ++depth_ <= 3 && member_ == "exceptions" && header_.complete();
  }
  bool end_array() override {
    if (depth_-- < 3) return true;
    if (filled_ < numbers_.size() || numbers_[2] == 0) return false;
    sink_.exceptions({.origin = Chunk(numbers_[0]), .copy = CowChunk(numbers_[1]), .length = numbers_[2]});
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    throw std::runtime_error(fmt::format("byte {} of the dump: {}", position, error.what()));
  }

 private:
  DumpSink& sink_;
  HeaderReader header_;
  int depth_ = 0;
  std::string member_;
  bool listed_ = false;
  std::array<std::uint64_t, 3> numbers_{};
  std::size_t filled_ = 0;
};

}  // namespace

void read_dump(std::istream& in, DumpSink& sink) {
  if (in.peek() != '{') return TextReader(in, sink).run();
  JsonReader reader(sink);
  if (!nlohmann::json::sax_parse(in, &reader)) {
    throw std::runtime_error(
        fmt::format("this is JSON, but no dump of a store: stopped at byte {}", static_cast<long long>(in.tellg())));
  }
}

}  // namespace dmsnap
