#!/usr/bin/env python3
"""Writes the image of one program as an OCI archive, without Docker.

  image.py [options] REFERENCE OUT.tar PROGRAM

  --at PATH          where the program goes (default /usr/local/bin/ and its name)
  --add PATH=FILE    one more file, readable by all; may be given again
  --label KEY=VALUE  a label, which the manifest has as an annotation too; may be given again
  --folder           OUT becomes a folder with the image's files instead, for a Dockerfile to copy

The program becomes the entry point; the shared libraries that it needs, with their copyright, two users
and /tmp are all there is beside it. `ctr images import OUT.tar`, `skopeo copy oci-archive:OUT.tar docker://…` and
the like take it. The same program and options give the same bytes."""

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile

MEDIA = "application/vnd.oci.image."
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
USER = "65532:65532"
# The label that says when, which the image's configuration says too.
CREATED = "org.opencontainers.image.created"
USERS = {
    "/etc/passwd": b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n",
    "/etc/group": b"root:x:0:\nnonroot:x:65532:\n",
    "/etc/nsswitch.conf": b"hosts: files dns\n",
}


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
    """The shared libraries that it needs: where it looks for them."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True)
    if listed.returncode != 0:  # static: it needs none
        return []
    return sorted(re.findall(r"(/\S+) \(0x", listed.stdout))


def debian_packages(paths):
    """path -> (name, version) of the Debian package that it is of; empty on other systems."""
    found = {}
    for path in paths:
        # /lib may be a link to /usr/lib, and dpkg knows a file by one of the two names.
        for name in (path, os.path.realpath(path), os.path.realpath(path).removeprefix("/usr")):
            try:
                owner = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
            except FileNotFoundError:
                return {}
            if owner.returncode == 0:
                package = owner.stdout.split(": ")[0]
                version = subprocess.run(
                    ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=True
                )
                found[path] = (package.split(":")[0], version.stdout)
                break
    return found


def contents(program, at, added):
    """path -> (bytes, mode): all that is in the image."""
    needed = libraries(program)
    # The licence of the C library asks that its text comes along.
    copyrights = [f"/usr/share/doc/{package}/copyright" for package, _ in debian_packages(needed).values()]
    return {
        **{path: (data, 0o644) for path, data in USERS.items()},
        **{path: (read(path), 0o755) for path in needed},
        **{path: (read(path), 0o644) for path in copyrights if os.path.exists(path)},
        **{path: (read(file), 0o644) for path, file in added.items()},
        at: (read(program), 0o755),
    }


def archive(reference, files, at, labels):
    """The OCI archive; what to fetch and what it unpacks to, in bytes; its digest."""
    blobs = {}

    def blob(data, kind):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": MEDIA + kind, "digest": digest, "size": len(data)}

    def document(value, kind):
        return blob(json.dumps(value).encode(), kind)

    plain = layer(files)
    packed = blob(gzip.compress(plain, 9, mtime=0), "layer.v1.tar+gzip")
    config = document({
        **({"created": labels[CREATED]} if CREATED in labels else {}),
        "architecture": MACHINES[os.uname().machine],
        "os": "linux",
        "config": {
            "User": USER,
            "WorkingDir": "/",
            "Env": ["PATH=" + os.path.dirname(at)],
            "Entrypoint": [at],
            **({"Labels": labels} if labels else {}),
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(plain).hexdigest()]},
    }, "config.v1+json")
    manifest = document({
        "schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json", "config": config, "layers": [packed],
        **({"annotations": labels} if labels else {}),
    }, "manifest.v1+json")
    index = {"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": [{**manifest, "annotations": {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rsplit(":", 1)[-1],
    }}]}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)
        entry(tar, "index.json", json.dumps(index).encode(), 0o644)
        for digest, data in blobs.items():
            entry(tar, "blobs/" + digest.replace(":", "/"), data, 0o644)
    return out.getvalue(), packed["size"], len(plain), manifest["digest"]


def pair(text):
    key, found, value = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: KEY=VALUE would do")
    return key, value


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--at")
    parser.add_argument("--add", type=pair, action="append", default=[])
    parser.add_argument("--label", type=pair, action="append", default=[])
    parser.add_argument("--folder", action="store_true")
    parser.add_argument("reference")
    parser.add_argument("out")
    parser.add_argument("program")
    asked = parser.parse_args()
    at = asked.at or f"/usr/local/bin/{os.path.basename(asked.program)}"
    files = contents(asked.program, at, dict(asked.add))
    if asked.folder:
        os.makedirs(asked.out, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(layer(files))) as tar:
            tar.extractall(asked.out, filter="tar")
        return
    whole, fetched, unpacked, digest = archive(asked.reference, files, at, dict(sorted(asked.label)))
    with open(asked.out, "wb") as file:
        file.write(whole)
    print(f"{asked.reference}: {fetched / 2**20:.1f} MiB to fetch, {unpacked / 2**20:.1f} MiB unpacked; {digest}")


if __name__ == "__main__":
    main()
