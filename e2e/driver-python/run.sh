#!/usr/bin/env bash
# Installs the official driver from PyPI outside of the tree (once), starts a federation of four, runs the
# driver's flows against it. Ends with 75 when the driver cannot be installed here.
# Usage: run.sh PATH/TO/cairn
set -euo pipefail
cairn=$(realpath "$1")
cd "$(dirname "$0")"
python=${PYTHON:-python3}
pinned=$(sha256sum requirements.txt | cut -c1-16)
venv=${XDG_CACHE_HOME:-$HOME/.cache}/cairn-tools/driver-python-$pinned

cannot() {
  echo "the driver of PyPI cannot be installed here: $1" >&2
  exit 75
}
if [ ! -e "$venv/installed" ]; then
  command -v "$python" >/dev/null || cannot "there is no $python"
  rm -rf "$venv"
  "$python" -m venv "$venv" || cannot "$python makes no virtual environments"
  # Without their own lists of what they need: those ask for versions that do not build any more.
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r requirements.txt \
    || cannot "pip failed, see above (Python 3.11 and a C compiler are what it was tried with)"
  touch "$venv/installed"
fi

source ../federation.sh
port=${BASE_PORT:-26984}
start_federation "$port"
CAIRN_URLS=$(federation_urls "$port")
export CAIRN_URLS
"$venv/bin/python" -B flows.py
