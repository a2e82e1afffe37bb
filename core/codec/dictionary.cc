#include "spillway/core/dictionary.h"

#include <zdict.h>

#include <cstring>
#include <string>

#include "spillway/core/assert.h"
#include "spillway/core/format.h"

namespace spillway::core {

namespace {

constexpr std::size_t kIdAt = 4;  // behind zstd's magic
constexpr std::size_t kContentAt = 8;

}  // namespace

Dictionary::Dictionary(std::vector<std::byte> bytes)
    : bytes_(std::move(bytes)),
      zstd_(ZSTD_createCDict(bytes_.data(), bytes_.size(), kCompressionLevel), &ZSTD_freeCDict) {}

Result<std::shared_ptr<const Dictionary>> Dictionary::make(std::vector<std::byte> bytes) {
  SPILLWAY_CHECKED(check_dictionary(bytes));
  auto made = std::shared_ptr<const Dictionary>(new Dictionary(std::move(bytes)));
  if (made->zstd() == nullptr) return fail(ErrorCode::kCorrupt, "zstd does not take a dictionary");
  return made;
}

void use_dictionary(ZSTD_CCtx* context, const ZSTD_CDict* dictionary) {
  ZSTD_CCtx_reset(context, ZSTD_reset_session_only);
  const std::size_t taken = ZSTD_CCtx_refCDict(context, dictionary);
  SPILLWAY_ASSERT(ZSTD_isError(taken) == 0);  // between two frames it takes any
}

Result<void> Training::run() {
  std::vector<std::byte> bytes(dictionary_bytes);
  const std::size_t size = ZDICT_trainFromBuffer(bytes.data(), bytes.size(), samples.data(),
                                                 sizes.data(), static_cast<unsigned>(sizes.size()));
  if (ZDICT_isError(size) != 0 || size <= kContentAt) {
    return fail(ErrorCode::kInvalidArgument,
                "no dictionary comes of " + std::to_string(sizes.size()) +
                    " samples: " + (ZDICT_isError(size) != 0 ? ZDICT_getErrorName(size) : "empty"));
  }
  bytes.resize(size);
  const std::uint32_t id = dictionary_id(std::span(bytes).subspan(kContentAt));
  std::memcpy(bytes.data() + kIdAt, &id, sizeof id);
  SPILLWAY_TRY(made, Dictionary::make(std::move(bytes)));
  dictionary = std::move(made);
  return {};
}

}  // namespace spillway::core
