"""What an image's program is made of, as CycloneDX 1.5: the crates that Cargo links with exactly the
features that are built, Rust's standard library, and the Debian packages of the shared libraries.

Everything comes from Cargo.lock, `cargo tree` and dpkg: no tool beside them, and no time of day."""

import json
import os
import re
import subprocess
import tomllib
import uuid

import image


def crates(root, package, features, profile_target):
    """(depth, name, version, licence) of each crate in the program, as a tree; one that comes again is
    not opened again."""
    command = [
        "cargo", "tree", "--quiet", "--locked", "--package", package, "--target", profile_target,
        # Macros, build scripts and tests run at the builder's; nothing of them is in the program.
        "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}|{l}",
    ]
    if features:
        command += ["--features", ",".join(features)]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        what, licence = line.split("|", 1)
        depth, name, version = what.split(" ")[:3]
        # "(*)" is Cargo's mark of one that it has shown above.
        yield int(depth), name, version.removeprefix("v"), licence.removesuffix(" (*)").strip()


def rust_component(name, version, licence, checksums):
    reference = f"pkg:cargo/{name}@{version}"
    component = {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference}
    if (name, version) in checksums:
        component["hashes"] = [{"alg": "SHA-256", "content": checksums[name, version]}]
    if licence:
        # "MIT/Apache-2.0" is how it was written before SPDX had expressions.
        component["licenses"] = [{"expression": " ".join(licence.replace("/", " OR ").split())}]
    return component


def of_crates(root, package, features, target):
    """(the program's own component, reference -> component, reference -> what it depends on)."""
    with open(os.path.join(root, "Cargo.lock"), "rb") as file:
        locked = tomllib.load(file)["package"]
    checksums = {(it["name"], it["version"]): it["checksum"] for it in locked if "checksum" in it}
    components, edges, above = {}, {}, []
    for depth, name, version, licence in crates(root, package, features, target):
        component = rust_component(name, version, licence, checksums)
        reference = component["bom-ref"]
        components[reference] = component
        edges.setdefault(reference, set())
        del above[depth:]
        if above:
            edges[above[-1]].add(reference)
        above.append(reference)
    program = next(iter(components))
    return {**components.pop(program), "type": "application"}, components, edges


def of_system(program):
    """Rust's standard library, which is linked in, and the packages of the shared libraries."""
    rust = re.search(r"^release: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True), re.M)[1]
    yield {
        "type": "library", "bom-ref": f"pkg:generic/rust-std@{rust}", "name": "rust-std", "version": rust,
        "purl": f"pkg:generic/rust-std@{rust}", "licenses": [{"expression": "MIT OR Apache-2.0"}],
    }
    needed = image.libraries(program)
    packages = image.debian_packages(needed)
    for name, version in sorted(set(packages.values())):
        purl = f"pkg:deb/debian/{name}@{version.replace(':', '%3A').replace('+', '%2B')}?arch={image.MACHINES[os.uname().machine]}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    for path in needed:
        if path not in packages:
            yield {"type": "file", "bom-ref": path, "name": path}


def sbom(root, name, package, features, program, created, revision):
    """The document, as bytes."""
    target = re.search(r"^host: (\S+)", subprocess.check_output(["rustc", "-vV"], text=True), re.M)[1]
    own, components, edges = of_crates(root, package, features, target)
    for component in of_system(program):
        components[component["bom-ref"]] = component
        edges[own["bom-ref"]].add(component["bom-ref"])
        edges[component["bom-ref"]] = set()
    own["properties"] = [
        {"name": "cargo:features", "value": " ".join(features)},
        {"name": "git:revision", "value": revision},
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{name} {target} {revision}')}",
        "version": 1,
        "metadata": {"timestamp": created, "component": own},
        "components": [components[reference] for reference in sorted(components)],
        "dependencies": [{"ref": it, "dependsOn": sorted(edges[it])} for it in sorted(edges)],
    }
    return (json.dumps(document, indent=1) + "\n").encode()
