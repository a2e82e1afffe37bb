SUMMARY = "std::expected for C++11 to C++20, in one header"
HOMEPAGE = "https://tl.tartanllama.xyz"
LICENSE = "CC0-1.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/CC0-1.0;md5=0ceb3372c9595f0a8067e55da801e4a1"

SRC_URI = "https://github.com/TartanLlama/expected/archive/refs/tags/v${PV}.tar.gz;downloadfilename=tl-expected-${PV}.tar.gz"
SRC_URI[sha256sum] = "f5424f5fc74e79157b9981ba2578a28e0285ac6ec2a8f075e86c41226fe33386"
S = "${WORKDIR}/expected-${PV}"

inherit cmake
EXTRA_OECMAKE = "-DEXPECTED_BUILD_TESTS=OFF"

# Headers alone.
ALLOW_EMPTY:${PN} = "1"
FILES:${PN}-dev += "${datadir}/cmake"
