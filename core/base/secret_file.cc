#include "spillway/core/secret_file.h"

#include <fstream>

namespace spillway::core {

namespace {

constexpr std::size_t kSecretBytesMax = 4096;

}  // namespace

Result<std::string> read_secret_file(const std::string& path, const std::string& key) {
  std::ifstream file(path, std::ios::binary);
  std::string secret(kSecretBytesMax + 1, '\0');
  file.read(secret.data(), static_cast<std::streamsize>(secret.size()));
  secret.resize(static_cast<std::size_t>(file.gcount()));
  while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  if (!secret.empty() && secret.size() <= kSecretBytesMax &&
      secret.find('\0') == std::string::npos) {
    return secret;
  }
  return fail(ErrorCode::kInvalidArgument, key + ": cannot read a secret from " + path +
                                               ": it holds the secret and nothing else");
}

Result<std::string> read_password(const std::string& password_file) {
  if (password_file.empty()) return std::string();
  return read_secret_file(password_file, "password_file");
}

}  // namespace spillway::core
