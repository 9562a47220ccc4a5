"""What a release consists of: how each package is laid out around one binary.

All of them are reproducible: the same files with the same EPOCH give the same bytes.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import stat
import tarfile
import tempfile
import uuid
import zipfile
from datetime import datetime, timezone
from pathlib import Path

from lib.pythons import REPO, WANTED, Failure, run

# All crates are optimized together, which takes longer and comes out smaller.
WHOLE = {"CARGO_PROFILE_RELEASE_LTO": "fat"}
# What is built for each machine. `wheel` and `deb` are the names that Python's tags and Debian
# have for it. `link` makes it smaller: relocations as a bitmap, and functions alike only once.
TARGETS = {
    # A static glibc rather than musl, whose allocator makes a big dump take twice the time.
    "x86_64-unknown-linux-gnu": {
        "wheel": "x86_64", "deb": "amd64",
        "environment": {"RUSTFLAGS": "-C target-feature=+crt-static"},
        "link": ["-Wl,-z,pack-relative-relocs", "-Wl,--icf=all"],
    },
    # By Rust's own linker and musl, so that no cross compiler is needed.
    "aarch64-unknown-linux-musl": {
        "wheel": "aarch64", "deb": "arm64",
        "environment": {"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER": "rust-lld"},
        "link": ["-zpack-relative-relocs", "--icf=all"],
    },
}
# A static binary runs on any C library: 2.17 and 1.1 are the oldest that pip still knows;
# `manylinux2014` is what pips before 20.3 call the former.
PLATFORMS = ["manylinux2014_%s", "manylinux_2_17_%s", "musllinux_1_1_%s"]

COMPLETIONS = {"bash": "aiospy.bash", "fish": "aiospy.fish", "zsh": "_aiospy"}
DOCS = sorted("docs/" + page.name for page in (REPO / "docs").iterdir())
TEXTS = ["README.md", "CHANGELOG.md", "schema.json", *DOCS]
MANIFESTS = sorted("deploy/" + file.name for file in (REPO / "deploy").glob("*.yaml"))


def package():
    """The manifest's `[package]`, as cargo reads it."""
    said = run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=str(REPO))
    return json.loads(said)["packages"][0]


def epoch():
    """The time that all files in the packages have: SOURCE_DATE_EPOCH, or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or run(["git", "log", "-1", "--format=%ct"], cwd=str(REPO)))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# --- What the binary itself writes ------------------------------------------------

def written(binary):
    """{name: bytes}: the man pages and the completions, made by a binary of this machine."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        run([binary, "man", folder])
        for page in sorted(Path(folder).iterdir()):
            files["man/" + page.name] = page.read_bytes()
    for shell, name in COMPLETIONS.items():
        files["completions/" + name] = run([binary, "completions", shell]).encode()
    return files


# --- Archive ------------------------------------------------------------------------

def archive(file, folder, files, when, level):
    """A .tar.gz with one folder in it. `files` is {name: bytes}; `aiospy` is the executable."""
    with open(str(file), "wb") as raw, gzip.GzipFile("", "wb", level, raw, when) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(files):
                entry = tarfile.TarInfo(folder + "/" + name)
                entry.size, entry.mtime = len(files[name]), when
                entry.mode = 0o755 if name == "aiospy" else 0o644
                tar.addfile(entry, io.BytesIO(files[name]))


# --- Wheel --------------------------------------------------------------------------

def described(about):
    """The README as an index of packages shows it: its links lead to the repository."""
    text = (REPO / "README.md").read_text()
    if not about["repository"]:
        return text
    return re.sub(r"\]\((?!\w+:|#)", "](%s/blob/v%s/" % (about["repository"], about["version"]), text)


def wheel_name(about, machine):
    platforms = ".".join(name % machine for name in PLATFORMS)
    return "%s-%s-py3-none-%s.whl" % (about["name"], about["version"], platforms)


def wheel(file, about, machine, binary, sbom, when, level):
    """A wheel that puts the binary where an environment has its commands."""
    name = "%s-%s" % (about["name"], about["version"])
    info = name + ".dist-info/"
    metadata = [
        ("Metadata-Version", "2.4"), ("Name", about["name"]), ("Version", about["version"]),
        ("Summary", about["description"]), ("Keywords", ",".join(about["keywords"])),
        ("License-Expression", about["license"]), ("License-File", "LICENSE"),
        ("Requires-Python", ">=" + WANTED[0]),
        ("Classifier", "Environment :: Console"), ("Classifier", "Framework :: AsyncIO"),
        ("Classifier", "Operating System :: POSIX :: Linux"),
        ("Classifier", "Programming Language :: Rust"),
        ("Classifier", "Topic :: Software Development :: Debuggers"),
    ]
    metadata += [("Classifier", "Programming Language :: Python :: " + version) for version in WANTED]
    metadata += [("Project-URL", "Source, " + about["repository"])] if about["repository"] else []
    metadata += [("Description-Content-Type", "text/markdown")]
    tags = [("Tag", "py3-none-" + platform % machine) for platform in PLATFORMS]
    header = "".join("%s: %s\n" % pair for pair in metadata)
    files = {
        name + ".data/scripts/aiospy": binary,
        info + "METADATA": (header + "\n" + described(about)).encode(),
        info + "WHEEL": "".join("%s: %s\n" % pair for pair in [
            ("Wheel-Version", "1.0"), ("Generator", "aiospy scripts/release"),
            ("Root-Is-Purelib", "false")] + tags).encode(),
        info + "licenses/LICENSE": (REPO / "LICENSE").read_bytes(),
        info + "sboms/aiospy.cdx.json": sbom,
    }
    record = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append("%s,sha256=%s,%d" % (path, digest, len(data)))
    files[info + "RECORD"] = ("\n".join(record) + "\n%sRECORD,,\n" % info).encode()
    # The format knows no years before 1980.
    moment = datetime.fromtimestamp(max(when, 315532800), timezone.utc).timetuple()[:6]
    with zipfile.ZipFile(str(file), "w", zipfile.ZIP_DEFLATED) as packed:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, moment)
            entry.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if "/scripts/" in path else 0o644
            entry.external_attr = (stat.S_IFREG | mode) << 16
            packed.writestr(entry, data, compresslevel=level)


# --- Debian package -----------------------------------------------------------------

def deb(file, about, machine, files, when, level):
    """A package for Debian and its kin, with nothing that it depends on."""
    if not shutil.which("dpkg-deb"):
        raise Failure("no dpkg-deb here")
    placed = {"usr/bin/aiospy": files["aiospy"]}
    for name, data in files.items():
        if name.startswith("man/"):
            placed["usr/share/man/man1/%s.gz" % Path(name).name] = gzip.compress(data, 9, mtime=when)
    for shell, folder, name in [
            ("bash", "bash-completion/completions", "aiospy"), ("fish", "fish/vendor_completions.d", "aiospy.fish"),
            ("zsh", "zsh/vendor-completions", "_aiospy")]:
        placed["usr/share/%s/%s" % (folder, name)] = files["completions/" + COMPLETIONS[shell]]
    documents = "usr/share/doc/aiospy/"
    placed[documents + "copyright"] = files["LICENSE"]
    for name in TEXTS:
        placed[documents + name + ".gz"] = gzip.compress(files[name], 9, mtime=when)
    control = "".join("%s: %s\n" % pair for pair in [
        ("Package", about["name"]), ("Version", about["version"]), ("Architecture", machine),
        ("Section", "devel"), ("Priority", "optional"), ("Maintainer", "the aiospy authors"),
        ("Installed-Size", sum(map(len, placed.values())) // 1024 + 1),
        ("Description", about["description"][:1].lower() + about["description"][1:])])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        for name, data in dict(placed, **{"DEBIAN/control": control.encode()}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if name.startswith("usr/bin/") else 0o644)
        for path in [root] + [path for path in root.rglob("*") if path.is_dir()]:
            path.chmod(0o755)
        run(["dpkg-deb", "--build", "--root-owner-group", "-Zxz", "-z%d" % level, root, file],
            env=dict(os.environ, SOURCE_DATE_EPOCH=str(when)))


# --- Bill of materials ----------------------------------------------------------------

def checksums():
    """{(name, version): SHA-256} of Cargo.lock."""
    blocks = (REPO / "Cargo.lock").read_text().split("[[package]]")[1:]
    found = [dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.M)) for block in blocks]
    return {(one["name"], one["version"]): one.get("checksum") for one in found}


def c_library(target):
    """The C library that is linked in."""
    if target.endswith("-musl"):
        return {"name": "musl", "licenses": [{"license": {"id": "MIT"}}]}
    name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    return {"name": name, "version": version, "licenses": [{"license": {"id": "LGPL-2.1-or-later"}}]}


def sbom(target, when):
    """What the binary for a target is made of, as CycloneDX 1.5 in JSON."""
    metadata = json.loads(run(["cargo", "metadata", "--locked", "--format-version", "1",
                               "--filter-platform", target], cwd=str(REPO)))
    packages = {one["id"]: one for one in metadata["packages"]}
    needs = {
        node["id"]: [dep["pkg"] for dep in node["deps"]
                     if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        for node in metadata["resolve"]["nodes"]}
    root, hashes = metadata["resolve"]["root"], checksums()
    seen, waiting = [], [root]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.append(one)
            waiting += needs[one]

    def ref(one):
        return "pkg:cargo/%(name)s@%(version)s" % packages[one]

    def component(one, kind):
        about = packages[one]
        told = {"type": kind, "bom-ref": ref(one), "name": about["name"], "version": about["version"],
                "purl": ref(one)}
        if about["license"]:
            # Old manifests write a choice with a slash.
            told["licenses"] = [{"expression": about["license"].replace("/", " OR ").replace("  ", " ")}]
        digest = hashes[about["name"], about["version"]]
        if digest:
            told["hashes"] = [{"alg": "SHA-256", "content": digest}]
        return told

    compiler = dict(re.findall(r"^(release): (.*)$", run(["rustc", "-vV"]), re.M))["release"]
    linked = [dict(c_library(target), type="library"),
              {"type": "library", "name": "Rust standard library", "version": compiler,
               "licenses": [{"expression": "MIT OR Apache-2.0"}]}]
    for one in linked:
        one["bom-ref"] = one["name"]
    crates = sorted((one for one in seen if one != root), key=ref)
    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(when, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(root, "application"),
            "properties": [{"name": "target", "value": target}],
        },
        "components": [component(one, "library") for one in crates] + linked,
        "dependencies": [
            {"ref": ref(one), "dependsOn": sorted(set(map(ref, needs[one])))} for one in [root] + crates],
    }
    # The same content has the same number.
    number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(document))
    document["serialNumber"] = "urn:uuid:%s" % number
    return (json.dumps(document, indent=1) + "\n").encode()


# --- All of it ------------------------------------------------------------------------

def is_of_this_machine(target):
    return target.split("-")[0] == platform.machine()


def paths(out, about, target):
    """Where the packages for a target lie."""
    machine, name = TARGETS[target], "%s-%s-%s" % (about["name"], about["version"], target)
    return {
        "archive": out / (name + ".tar.gz"),
        "wheel": out / wheel_name(about, machine["wheel"]),
        "deb": out / ("%s_%s_%s.deb" % (about["name"], about["version"], machine["deb"])),
        "sbom": out / (name + ".cdx.json"),
    }


def pack(out, about, target, binary, pages, when, level=9):
    """Make every package of one binary in `out`; gives their paths. `level` is how hard to compress."""
    machine, made = TARGETS[target], paths(out, about, target)
    files = dict(pages, aiospy=Path(binary).read_bytes())
    files["sbom.cdx.json"] = bill = sbom(target, when)
    files["Dockerfile"] = (REPO / "deploy" / "Dockerfile").read_bytes()
    for name in ["LICENSE", *TEXTS, *MANIFESTS]:
        files[name] = (REPO / name).read_bytes()
    archive(made["archive"], made["archive"].name[:-len(".tar.gz")], files, when, level)
    wheel(made["wheel"], about, machine["wheel"], files["aiospy"], bill, when, level)
    deb(made["deb"], about, machine["deb"], files, when, level)
    made["sbom"].write_bytes(bill)
    return made


def sums(out):
    """Write SHA256SUMS of all that lies in `out`."""
    files = sorted(path for path in out.iterdir() if path.name != "SHA256SUMS")
    lines = ["%s  %s\n" % (sha256(path.read_bytes()), path.name) for path in files]
    (out / "SHA256SUMS").write_text("".join(lines))
