#!/usr/bin/env bash
# postgresql.sh   prints the folder of PostgreSQL's programs (initdb, postgres)
#
# One that is installed is taken. Otherwise Debian's packages are unpacked into the cache, not installed: no service
# starts, nothing needs root. Libraries that came with them lie in the ../../../*-linux-gnu of that folder, where the
# loader has to be told to look. Ends with 75 where it cannot be had.
set -euo pipefail

# The folder in which both programs lie, of the newest version there.
programs() { # ROOT
    local folder
    for folder in "$1"/usr/lib/postgresql/*/bin; do
        if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ]; then echo "$folder"; fi
    done | sort --version-sort | tail -n 1 | grep .
}
tools=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-tools/postgresql
programs "" && exit
if command -v postgres >/dev/null && command -v initdb >/dev/null; then
    dirname "$(realpath "$(command -v initdb)")"
    exit
fi
programs "$tools" && exit

if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "PostgreSQL is not installed, and Debian's package cannot be had here: install it (postgresql.org/download), then try again" >&2
    exit 75
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What packages there are is asked anew, and kept apart: the machine's own list may be gone, and is root's.
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/unpacked"
apt=(apt-get --quiet=2 -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o Debug::NoLocking=1
    -o "APT::Sandbox::User=$(id -un)")
# With the libraries that this machine does not have.
{ "${apt[@]}" update && "${apt[@]}" install --download-only --no-install-recommends --yes postgresql; } >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    echo "PostgreSQL is not installed, and apt-get cannot download it: install it, then try again" >&2
    exit 75
}
for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$work/unpacked"; done
mkdir -p "$(dirname "$tools")"
rm -rf "$tools"
mv "$work/unpacked" "$tools"
programs "$tools" || { echo "Debian's package has no initdb and postgres where they were" >&2; exit 75; }
