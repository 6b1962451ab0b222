#!/usr/bin/env python3
"""What is promised of the images, tried on small programs; and that the Dockerfile says the same.

Docker is not needed, and not tried: the Dockerfile is read."""

import gzip
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import build  # noqa: E402
import image  # noqa: E402
import sbom  # noqa: E402

COMMON, IMAGES = build.images()
AT_BUILD = {"version": "$VERSION", "revision": "$REVISION", "created": "$CREATED"}


def dockerfile():
    """stage -> [(instruction, what it is given)]."""
    with open(os.path.join(build.HERE, "Dockerfile")) as file:
        text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", file.read(), flags=re.M))
    stages = {}
    for line in filter(None, text.splitlines()):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            stages[rest.split(" AS ")[1]] = steps = []
        steps.append((instruction, rest))
    return stages


def made(folder, program, *options):
    """The image of a program: (index, manifest, configuration, path -> entry of its one layer)."""
    out = os.path.join(folder, "out.tar")
    subprocess.run([build.IMAGE, *options, "example.test/it:1", out, program], check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(out) as tar:
        files = {it.name: tar.extractfile(it).read() for it in tar if it.isfile()}
    for path, data in files.items():
        if path.startswith("blobs/sha256/"):
            assert path.endswith(hashlib.sha256(data).hexdigest()), path
    at = lambda it: files["blobs/" + it["digest"].replace(":", "/")]  # noqa: E731
    index = json.loads(files["index.json"])
    manifest = json.loads(at(index["manifests"][0]))
    config = json.loads(at(manifest["config"]))
    layer = gzip.decompress(at(manifest["layers"][0]))
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return index, manifest, config, {"/" + it.name: it for it in tar}


class Dockerfile(unittest.TestCase):
    def test_has_a_stage_for_each_image(self):
        self.assertEqual(list(dockerfile()), ["build", *IMAGES])

    def test_takes_files_and_program_from_the_same_list(self):
        stages = dockerfile()
        self.assertIn(("RUN", "images/build.py --folder --out /images"), stages["build"])
        for name in IMAGES:
            self.assertEqual(stages[name][0], ("FROM", f"scratch AS {name}"))
            self.assertIn(("COPY", f"--from=build /images/{name}.files/ /"), stages[name])
            self.assertIn(("ENTRYPOINT", json.dumps([f"/usr/local/bin/{name}"])), stages[name])
            self.assertIn(("USER", image.USER), stages[name])
            self.assertIn(("ENV", "PATH=/usr/local/bin"), stages[name])

    def test_has_the_same_labels(self):
        for name, steps in dockerfile().items():
            if name == "build":
                continue
            told = [rest for instruction, rest in steps if instruction == "LABEL"]
            wanted = {f"{build.LABEL}{key}": value for key, value in
                      {**COMMON, **AT_BUILD, **{key: IMAGES[name][key] for key in ("title", "description")}}.items()}
            self.assertEqual(dict(it.split("=", 1) for it in shlex.split(told[0])), wanted)
            self.assertIn(("ARG", f"VERSION={build.version()}"), steps)

    def test_builds_with_the_rust_that_the_workspace_asks_for(self):
        with open(os.path.join(build.ROOT, "Cargo.toml")) as file:
            rust = re.search(r'^rust-version = "(.*)"', file.read(), re.M)[1]
        self.assertEqual(dockerfile()["build"][0][1], f"rust:{rust}-bookworm AS build")


class Image(unittest.TestCase):
    """Of `true`, which needs the C library, as ours do."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.program = shutil.which("true")

    def test_has_no_shell_and_no_root(self):
        _, _, config, files = made(self.folder, self.program)
        self.assertEqual(config["config"]["User"], "65532:65532")
        self.assertEqual(config["config"]["Entrypoint"], ["/usr/local/bin/true"])
        programs = [path for path, it in files.items() if it.isfile() and it.mode & 0o111 and not re.search(r"\.so[.\d]*$", path)]
        self.assertEqual(programs, ["/usr/local/bin/true"])
        self.assertEqual([it.mode & 0o6000 for it in files.values() if it.mode & 0o6000], [])

    def test_has_labels_and_added_files(self):
        _, manifest, config, files = made(
            self.folder, self.program, f"--add=/etc/hello={__file__}", f"--label={image.CREATED}=2026-01-02T03:04:05Z", "--at=/it")
        self.assertEqual(config["created"], "2026-01-02T03:04:05Z")
        self.assertEqual(config["config"]["Labels"], {image.CREATED: "2026-01-02T03:04:05Z"})
        self.assertEqual(manifest["annotations"], config["config"]["Labels"])
        self.assertEqual(config["config"]["Entrypoint"], ["/it"])
        self.assertEqual((files["/etc/hello"].mode, files["/it"].mode), (0o644, 0o755))

    def test_is_the_same_from_another_folder_and_time(self):
        elsewhere = os.path.join(self.folder, "else/where")
        os.makedirs(elsewhere)
        copy = shutil.copy(self.program, elsewhere)
        os.utime(copy, (1, 1))
        one, other = made(self.folder, self.program)[0], made(elsewhere, copy)[0]
        self.assertEqual(one, other)


class Sbom(unittest.TestCase):
    def of(self, name):
        it = IMAGES[name]
        whole = sbom.sbom(build.ROOT, name, it["package"], it["features"], shutil.which("true"), "2026-01-02T03:04:05Z", "0" * 40)
        return json.loads(whole)

    def test_names_what_is_linked_and_nothing_else(self):
        node, operator = self.of("cairn"), self.of("cairn-operator")
        names = lambda it: {component["name"] for component in it["components"]}  # noqa: E731
        # With the feature that is built; no macros, no tests, nothing of the other program.
        self.assertLessEqual({"tikv-client", "openraft", "zstd-sys", "rust-std"}, names(node))
        self.assertLessEqual({"kube", "k8s-openapi", "rust-std"}, names(operator))
        self.assertFalse({"kube", "serde_derive", "proptest", "cc"} & names(node))
        self.assertFalse({"openraft", "tikv-client"} & names(operator))

    def test_every_crate_has_version_licence_and_checksum(self):
        for name in IMAGES:
            document = self.of(name)
            references = {it["bom-ref"] for it in document["components"]}
            self.assertEqual(len(references), len(document["components"]))
            for it in document["components"]:
                if it["purl"].startswith("pkg:cargo/") and not it["name"].startswith("cairn-"):
                    self.assertTrue(it["version"] and it["licenses"] and it["hashes"], it)
            references.add(document["metadata"]["component"]["bom-ref"])
            for it in document["dependencies"]:
                self.assertLessEqual({it["ref"], *it["dependsOn"]}, references)
            reached, todo = set(), [document["metadata"]["component"]["bom-ref"]]
            edges = {it["ref"]: it["dependsOn"] for it in document["dependencies"]}
            while todo:
                reference = todo.pop()
                if reference not in reached:
                    reached.add(reference)
                    todo += edges[reference]
            self.assertEqual(reached, references)


if __name__ == "__main__":
    unittest.main()
