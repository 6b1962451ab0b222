#!/usr/bin/env python3
"""Writes the image of one program as an OCI archive, without Docker.

  image.py REFERENCE OUT.tar PROGRAM

The program becomes the entry point; the shared libraries that it needs, two users and /tmp are all there
is beside it. `ctr images import OUT.tar`, `skopeo copy oci-archive:OUT.tar docker://…` and the like take
it. The same program gives the same bytes."""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile

MEDIA = "application/vnd.oci.image."


def entry(tar, path, data=b"", mode=0o755, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size, info.mode, info.type, info.mtime = len(data), mode, kind, 0
    tar.addfile(info, io.BytesIO(data))


def layer(files):
    """files: path -> (bytes, mode); their folders come with them."""
    out, folders = io.BytesIO(), set()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry(tar, "/tmp", mode=0o1777, kind=tarfile.DIRTYPE)
        for path in sorted(files):
            parts = path.strip("/").split("/")
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth])
                if folder not in folders:
                    folders.add(folder)
                    entry(tar, folder, kind=tarfile.DIRTYPE)
            entry(tar, path, *files[path])
    return out.getvalue()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def libraries(program):
    """Where the program looks for them, and what is there."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True)
    if listed.returncode != 0:  # static: it needs none
        return {}
    return {path: (read(path), 0o755) for path in re.findall(r"(/\S+) \(0x", listed.stdout)}


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    reference, out, program = sys.argv[1:]
    name = os.path.basename(program)
    files = {
        "/etc/passwd": (b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n", 0o644),
        "/etc/group": (b"root:x:0:\nnonroot:x:65532:\n", 0o644),
        "/etc/nsswitch.conf": (b"hosts: files dns\n", 0o644),
        f"/usr/local/bin/{name}": (read(program), 0o755),
        **libraries(program),
    }
    blobs = {}

    def blob(data, kind):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": MEDIA + kind, "digest": digest, "size": len(data)}

    plain = layer(files)
    packed = blob(gzip.compress(plain, 9, mtime=0), "layer.v1.tar+gzip")
    config = blob(json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {
            "User": "65532:65532",
            "WorkingDir": "/",
            "Env": ["PATH=/usr/local/bin"],
            "Entrypoint": [f"/usr/local/bin/{name}"],
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest()]},
    }).encode(), "config.v1+json")
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json", "config": config, "layers": [packed],
    }).encode(), "manifest.v1+json")
    manifest["annotations"] = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[-1],
    }
    index = {"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": [manifest]}
    with tarfile.open(out, "w") as tar:
        entry(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)
        entry(tar, "index.json", json.dumps(index).encode(), 0o644)
        for digest, data in blobs.items():
            entry(tar, "blobs/" + digest.replace(":", "/"), data, 0o644)
    print(f"{reference}: {packed['size'] / 2**20:.1f} MiB to fetch, {len(plain) / 2**20:.1f} MiB unpacked; {manifest['digest']}")


main()
