#!/usr/bin/env python3
"""Writes a variant of an image: the same files under another reference, as another build of it would be.

  variant.py FROM.tar REFERENCE OUT.tar [NAME=VALUE...]

FROM.tar is what image.py wrote. The variables are set wherever the image runs: one that the program
refuses makes an image that cannot start. Stories upgrade to variants, and back."""

import hashlib
import io
import json
import sys
import tarfile


def main():
    if len(sys.argv) < 4 or not all("=" in variable for variable in sys.argv[4:]):
        sys.exit(__doc__)
    source, reference, out, *variables = sys.argv[1:]
    with tarfile.open(source) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}

    def load(descriptor):
        return json.loads(files["blobs/" + descriptor["digest"].replace(":", "/")])

    def replace(descriptor, content):
        """Another blob instead of the one that is described."""
        del files["blobs/" + descriptor["digest"].replace(":", "/")]
        data = json.dumps(content).encode()
        descriptor["digest"], descriptor["size"] = "sha256:" + hashlib.sha256(data).hexdigest(), len(data)
        files["blobs/" + descriptor["digest"].replace(":", "/")] = data

    index = json.loads(files["index.json"])
    [described] = [entry for entry in index["manifests"] if "io.containerd.image.name" in entry.get("annotations", {})]
    manifest = load(described)
    config = load(manifest["config"])
    config["config"].setdefault("Labels", {})["org.opencontainers.image.version"] = reference.rsplit(":", 1)[-1]
    config["config"].setdefault("Env", []).extend(variables)
    replace(manifest["config"], config)
    replace(described, manifest)
    described["annotations"]["io.containerd.image.name"] = reference
    described["annotations"]["org.opencontainers.image.ref.name"] = reference.rsplit(":", 1)[-1]
    files["index.json"] = json.dumps(index).encode()
    with tarfile.open(out, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    print(f"{reference}: as {source}{' with ' if variables else ''}{' '.join(variables)}; {described['digest']}")


main()
