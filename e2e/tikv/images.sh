#!/bin/bash
# images.sh OUT      writes OUT/pd.tar and OUT/tikv.tar: images of what build.sh builds, which
#                    charts/cairn-tikv runs as it runs PD's and TiKV's own
#
# cairn.test/pd:1 has /pd-server, cairn.test/tikv:1 has /tikv-server. Nothing is written again that
# was made of the same programs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?images.sh: where to? A folder would do}
programs=$("$here/build.sh" | tail -n 1)
stamp=$(cat "$programs/stamp" "$here/../kubernetes/image.py" "$0" | sha256sum | cut -d' ' -f1)
mkdir -p "$out"
[ "$(cat "$out/tikv.stamp" 2>/dev/null)" != "$stamp" ] || exit 0
"$here/../kubernetes/image.py" --at /pd-server cairn.test/pd:1 "$out/pd.tar" "$programs/pd-server"
"$here/../kubernetes/image.py" --at /tikv-server cairn.test/tikv:1 "$out/tikv.tar" "$programs/cairn-tikv-dev"
echo "$stamp" >"$out/tikv.stamp"
