#!/bin/bash
# Prints apt's own sources of this machine in the one-line form, one-line or deb822 files alike: apt_sources.sh SUITE [AS]
#
# AS: for that suite instead, from the same places: another release of Debian. The release suite alone, without updates.
set -euo pipefail
suite="${1:?usage: apt_sources.sh SUITE [AS]}"
# shellcheck disable=SC2016  # the $(...) are apt's own placeholders
apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT) $(SIGNED_BY)' 'Created-By: Packages' |
  awk -v suite="$suite" -v as="${2:-$suite}" -v keyring=/usr/share/keyrings/debian-archive-keyring.gpg '
    $2 == suite { print "deb [signed-by=" ($4 ~ /^\// ? $4 : keyring) "] " $1 " " as " " $3 }' |
  sort -u | grep . || {
  echo "apt_sources.sh: apt has no source for Debian $suite here: run 'apt-get update', or add one to /etc/apt" >&2
  exit 3
}
