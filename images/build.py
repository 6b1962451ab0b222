#!/usr/bin/env python3
"""Builds the images of images.toml as OCI archives, without Docker: the same bytes from the same commit,
whatever the folder, on the same Rust and Debian.

  build.py [options] [NAME...]       all of them without any

  --out FOLDER       where NAME.tar and NAME.cdx.json (what it is made of) go (default target/images)
  --registry PREFIX  what the references begin with (default ghcr.io/cairndb)
  --version VERSION  what they end with (default: the workspace's)
  --profile PROFILE  Cargo's profile (default release; dev builds faster)
  --target-dir PATH  where Cargo builds (default target/images/cargo)
  --built FOLDER     takes the programs that are there, and builds none: for tests, and not the same elsewhere
  --folder           OUT/NAME becomes a folder with the image's files instead; the Dockerfile copies it

The commit comes from git, or from REVISION and SOURCE_DATE_EPOCH where there is no repository. An archive
that was made of the same program for the same commit is not made again."""

import argparse
import datetime
import hashlib
import os
import subprocess
import sys
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
IMAGE = os.path.join(ROOT, "e2e/kubernetes/image.py")
sys.path.insert(0, os.path.dirname(IMAGE))
sys.dont_write_bytecode = True

import sbom  # noqa: E402  (it needs the path above)

# A node pulls it while a validator is down.
FETCH_MIB_MAX = 40
LABEL = "org.opencontainers.image."


def images():
    """(labels that all have, name -> image)."""
    with open(os.path.join(HERE, "images.toml"), "rb") as file:
        listed = tomllib.load(file)
    return listed.pop("labels"), listed


def version():
    with open(os.path.join(ROOT, "Cargo.toml"), "rb") as file:
        return tomllib.load(file)["workspace"]["package"]["version"]


def git(*arguments):
    return subprocess.check_output(["git", "-C", ROOT, *arguments], text=True).strip()


def commit():
    """(revision, seconds since 1970) of what is built."""
    if os.environ.get("REVISION"):
        return os.environ["REVISION"], int(os.environ.get("SOURCE_DATE_EPOCH") or 0)
    changed = "-dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
    return git("rev-parse", "HEAD") + changed, int(git("log", "-1", "--format=%ct"))


def reproducible(target):
    """The environment in which the compilers write no folder of this machine into what they make."""
    cargo = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    rust = subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
    # The last that matches counts: what lies in another comes after it.
    folders = sorted([(ROOT, "/cairn"), (target, "/target"), (cargo, "/cargo"), (rust, "/rust")], key=lambda it: len(it[0]))
    remapped = [f"--remap-path-prefix={folder}={name}" for folder, name in folders]
    return {
        **{name: value for name, value in os.environ.items() if name not in ("RUSTFLAGS", "CFLAGS")},
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(remapped),
        "CFLAGS": " ".join(f"-ffile-prefix-map={folder}={name}" for folder, name in folders),
        "CARGO_TARGET_DIR": target,
        "CARGO_INCREMENTAL": "0",
        # Of no use to programs, and with the commit's time every commit would compile what is written in C again,
        # and all that depends on it.
        "SOURCE_DATE_EPOCH": "1",
    }


def labels(common, image, version, revision, created):
    every = {**common, "title": image["title"], "description": image["description"]}
    every |= {"version": version, "revision": revision, "created": created}
    return [f"--label={LABEL}{key}={value}" for key, value in every.items()]


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compiled(asked, name, image):
    """Where the program is that Cargo made."""
    target = os.path.abspath(asked.target_dir)
    command = ["cargo", "build", "--locked", "--profile", asked.profile, "--package", image["package"], "--bin", name]
    if image["features"]:
        command += ["--features", ",".join(image["features"])]
    subprocess.run(command, cwd=ROOT, env=reproducible(target), check=True)
    return os.path.join(target, {"dev": "debug"}.get(asked.profile, asked.profile), name)


def build(asked, name, image, common):
    revision, seconds = commit()
    created = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    built = os.path.join(asked.built, name) if asked.built else compiled(asked, name, image)
    out = os.path.join(asked.out, f"{name}.files" if asked.folder else f"{name}.tar")
    reference = f"{asked.registry}/{name}:{asked.version}"
    os.makedirs(asked.out, exist_ok=True)
    made_of = f"{reference} {revision} {digest(built)} {digest(IMAGE)} {digest(__file__)}\n"
    stamp = os.path.join(asked.out, f"{name}.stamp")
    if not asked.folder and os.path.exists(out) and os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == made_of:
                print(f"{reference}: made already")
                return
    program = os.path.join(asked.out, name)
    subprocess.run(["strip", "--strip-debug", "-o", program, built], check=True)
    listed = os.path.join(asked.out, f"{name}.cdx.json")
    with open(listed, "wb") as file:
        file.write(sbom.sbom(ROOT, name, image["package"], image["features"], program, created, revision))
    added = [
        f"--add=/usr/share/sbom/{name}.cdx.json={listed}",
        f"--add=/usr/share/doc/{name}/LICENSE={ROOT}/LICENSE",
    ]
    told = [] if asked.folder else labels(common, image, asked.version, revision, created)
    subprocess.run(
        [IMAGE, *told, *added, *(["--folder"] if asked.folder else []), f"--at=/usr/local/bin/{name}", reference, out, program],
        check=True,
    )
    os.remove(program)
    if not asked.folder and os.path.getsize(out) > FETCH_MIB_MAX << 20:
        sys.exit(f"build.py: {out} is larger than {FETCH_MIB_MAX} MiB")
    with open(stamp, "w") as file:
        file.write(made_of)


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--out", default=os.path.join(ROOT, "target/images"))
    parser.add_argument("--registry", default="ghcr.io/cairndb")
    parser.add_argument("--version", default=version())
    parser.add_argument("--profile", default="release")
    parser.add_argument("--target-dir", default=os.path.join(ROOT, "target/images/cargo"))
    parser.add_argument("--built")
    parser.add_argument("--folder", action="store_true")
    parser.add_argument("names", nargs="*")
    asked = parser.parse_args()
    common, listed = images()
    for name in asked.names or listed:
        if name not in listed:
            sys.exit(f"build.py: no image is called {name}; there are {', '.join(listed)}")
        build(asked, name, listed[name], common)


if __name__ == "__main__":
    main()
