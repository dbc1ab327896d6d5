// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream/zstd_stream.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <new>

#include "base/little_endian.h"

namespace dmsnap {

namespace {

void require(std::size_t outcome) {
  if (ZSTD_isError(outcome) != 0U) throw std::runtime_error(std::string("zstd: ") + ZSTD_getErrorName(outcome));
}

}  // namespace

struct ZstdSink::State {
  struct Free {
    void operator()(ZSTD_CCtx* each) const { ZSTD_freeCCtx(each); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> context{ZSTD_createCCtx()};
  std::vector<std::byte> out = std::vector<std::byte>(ZSTD_CStreamOutSize());
};

ZstdSink::ZstdSink(ByteSink& below) : below_(below), state_(std::make_unique<State>()) {
  if (state_->context == nullptr) throw std::bad_alloc();
  require(ZSTD_CCtx_setParameter(state_->context.get(), ZSTD_c_checksumFlag, 1));
}

ZstdSink::~ZstdSink() = default;

void ZstdSink::run(std::span<const std::byte> data, bool last) {
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  std::size_t left = 0;
  do {
    ZSTD_outBuffer out{state_->out.data(), state_->out.size(), 0};
    left = ZSTD_compressStream2(state_->context.get(), &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
    require(left);
    below_.write(std::span(state_->out).first(out.pos));
  } while (last ? left != 0 : in.pos < in.size);
}

void ZstdSink::write(std::span<const std::byte> data) {
  run(data, false);
}

void ZstdSink::finish() {
  run({}, true);
}

struct ZstdSource::State {
  struct Free {
    void operator()(ZSTD_DCtx* each) const { ZSTD_freeDCtx(each); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context{ZSTD_createDCtx()};
  std::vector<std::byte> in = std::vector<std::byte>(ZSTD_DStreamInSize());
  std::size_t used = 0;
  std::size_t filled = 0;
  std::uint64_t offset = 0;  // of what lies in `in`
  bool inside = false;       // a frame

  std::uint64_t position() const { return offset + used; }
};

ZstdSource::ZstdSource(ByteSource& below) : below_(below), state_(std::make_unique<State>()) {
  if (state_->context == nullptr) throw std::bad_alloc();
}

ZstdSource::~ZstdSource() = default;

bool ZstdSource::begins(std::span<const std::byte> bytes) {
  const le32 magic(ZSTD_MAGICNUMBER);
  const auto wanted = std::as_bytes(std::span(&magic, 1));
  return bytes.size() >= wanted.size() && std::ranges::equal(bytes.first(wanted.size()), wanted);
}

std::size_t ZstdSource::read(std::span<std::byte> to) {
  State& s = *state_;
  bool ended = false;
  for (;;) {
    if (s.used == s.filled && !ended) {
      s.offset += s.filled;
      s.used = 0;
      s.filled = below_.read(s.in);
      ended = s.filled == 0;
    }
    ZSTD_inBuffer in{s.in.data(), s.filled, s.used};
    ZSTD_outBuffer out{to.data(), to.size(), 0};
    if (ended && !s.inside) return 0;
    const std::size_t left = ZSTD_decompressStream(s.context.get(), &out, &in);
    s.used = in.pos;
    if (ZSTD_isError(left) != 0U) {
      throw StreamError(s.position(), fmt::format("(compressed) the stream is damaged: {}", ZSTD_getErrorName(left)));
    }
    s.inside = left != 0;
    if (out.pos > 0) return out.pos;
    if (ended && s.inside) throw StreamError(s.position(), "(compressed) the stream is incomplete: it ends here");
  }
}

}  // namespace dmsnap
