// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "tools/dump.h"

namespace dmsnap {

namespace {

/// Fills in the members of the header by their names, and begins the sink once all are there.
class HeaderReader {
 public:
  explicit HeaderReader(DumpSink& sink) : sink_(sink) {}

  /// False when there is no such member, or it has been there already.
  bool set(std::string_view member, std::uint64_t value) {
    if (!take(member, value)) return false;
    if (complete()) sink_.begin(header_);
    return true;
  }
  bool complete() const { return seen_ == 15; }

 private:
  bool take(std::string_view member, std::uint64_t value) {
    if (member == "version") {
      if (value != 1) throw DumpError(fmt::format("version {} of the dump is not known", value));
      return first(1);
    }
    if (member == "valid" && value <= 1) {
      header_.valid = value == 1;
      return first(2);
    }
    if (member == "chunk_sectors" && ChunkGeometry::valid(value)) {
      header_.chunk_sectors = static_cast<std::uint32_t>(value);
      return first(4);
    }
    if (member != "cow_sectors") return false;
    header_.cow_sectors = value;
    return first(8);
  }
  bool first(unsigned member) {
    const bool first = (seen_ & member) == 0;
    seen_ |= member;
    return first;
  }

  DumpSink& sink_;
  DumpHeader header_;
  unsigned seen_ = 0;
};

/// What three numbers say. Nothing when they name no chunk, or one beyond the largest number.
std::optional<ExceptionRun> run_of(const std::array<std::uint64_t, 3>& numbers) {
  const auto& [origin, copy, length] = numbers;
  if (length == 0 || length - 1 > std::numeric_limits<std::uint64_t>::max() - std::max(origin, copy)) return {};
  return ExceptionRun{.origin = Chunk(origin), .copy = CowChunk(copy), .length = length};
}

/// The words of a line, from left to right.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) { skip_blanks(); }

  bool ended() const { return rest_.empty(); }
  std::string_view next() {
    const std::string_view word = rest_.substr(0, rest_.find_first_of(blanks));
    rest_.remove_prefix(word.size());
    skip_blanks();
    return word;
  }
  /// Digits only, and no more than fit.
  std::optional<std::uint64_t> number() {
    const std::string_view word = next();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return value;
  }

 private:
  static constexpr const char* blanks = " \t\r";
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(blanks), rest_.size())); }

  std::string_view rest_;
};

/// The beginning of a line, as a terminal may show it.
std::string shown(std::string_view line) {
  constexpr std::size_t most = 60;
  std::string text;
  for (const char c : line.substr(0, most)) {
    if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text + (line.size() > most ? "..." : "");
}

class TextReader {
 public:
  TextReader(std::istream& in, DumpSink& sink) : in_(in), sink_(sink), header_(sink) {}

  void run() {
    while (next_line()) {
      if (Words(line_).ended() || line_.starts_with('#')) continue;
      if (ended_ || (header_.complete() ? !body_line() : !header_line())) refuse_line("is not understood");
    }
    if (in_.bad()) throw DumpError(fmt::format("the dump cannot be read behind its line {}", number_));
    if (!ended_) throw DumpError("the dump is empty or was cut off: its line 'end' is missing");
    sink_.end();
  }

 private:
  bool next_line() {
    in_.getline(buffer_.data(), std::ssize(buffer_));
    const auto got = static_cast<std::size_t>(in_.gcount());
    if (in_.fail() && (got == 0 || in_.bad())) return false;
    ++number_;
    line_ = {buffer_.data(), in_.eof() || in_.fail() ? got : got - 1};
    if (in_.fail()) refuse_line("is too long for a dump");
    return true;
  }

  [[noreturn]] void refuse_line(const char* why) const {
    throw DumpError(fmt::format("line {} of the dump {}: {}", number_, why, shown(line_)));
  }

  bool header_line() {
    Words words(line_);
    std::string_view member = words.next();
    const auto value = words.number();
    if (!value || !words.ended()) return false;
    if (member == "dmsnap-dump") member = "version";
    if (member == "chunk-sectors") member = "chunk_sectors";
    if (member == "cow-sectors") member = "cow_sectors";
    return header_.set(member, *value);
  }

  bool body_line() {
    Words words(line_);
    if (line_.starts_with("end")) {
      ended_ = words.next() == "end" && words.number() == count_ && words.ended();
      return ended_;
    }
    std::array<std::uint64_t, 3> numbers{};
    for (auto& number : numbers) {
      const auto value = words.number();
      if (!value) return false;
      number = *value;
    }
    const auto run = run_of(numbers);
    if (!run || !words.ended()) return false;
    sink_.exceptions(*run);
    count_ += run->length;
    return true;
  }

  std::istream& in_;
  DumpSink& sink_;
  HeaderReader header_;
  std::array<char, 4096> buffer_{};
  std::string_view line_;
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
    return listed_;
  }
  bool start_array(std::size_t) override {
    if (depth_ == 1 && listed_) return false;
    filled_ = 0;
    listed_ = true;
    return ++depth_ <= 3 && member_ == "exceptions" && header_.complete();
  }
  bool end_array() override {
    if (depth_-- < 3) return true;
    const auto run = run_of(numbers_);
    if (filled_ < numbers_.size() || !run) return false;
    sink_.exceptions(*run);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw DumpError(fmt::format("byte {} of the dump is no JSON, or the dump was cut off there", position));
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
    const auto at = static_cast<long long>(in.tellg());  // a pipe does not know
    throw DumpError("this is JSON, but no dump of a store" + (at < 0 ? "" : fmt::format(": stopped at byte {}", at)));
  }
  sink.end();
}

}  // namespace dmsnap
