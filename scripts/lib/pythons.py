"""One CPython per minor version, with a virtual environment each: found, or fetched.

Interpreters are looked for in pyenv's and uv's folders and on PATH.  What is
missing is asked of uv, if present, or, on a Debian-family system, unpacked
from Debian unstable's packages into a folder of its own (nothing is installed
into the system) and run there with a changed root, through a launcher that
keeps its process id: the id a caller spawned is that of Python itself.

The outcome is target/pythons.json: see write_manifest and read_manifest.
"""

import concurrent.futures
import contextlib
import fcntl
import json
import mmap
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Libraries that programs under test use, with all that those need, as pip chose
# them in November 2026: the newest releases that have a wheel for every Python
# from 3.11 on.
LIBRARIES = {
    "aiohappyeyeballs": "2.7.1", "aiohttp": "3.14.5", "aiosignal": "1.4.0", "aiosqlite": "0.22.1",
    "anyio": "4.16.0",
    "asgiref": "3.13.0", "attrs": "26.1.0", "certifi": "2026.10.18", "charset-normalizer": "3.5.2",
    "click": "8.5.1",
    "frozenlist": "1.8.0", "greenlet": "3.5.6", "h11": "0.16.0", "h2": "4.4.1", "hpack": "4.2.0",
    "httpcore": "1.0.9", "httpx": "0.28.1", "hypercorn": "0.18.0", "hyperframe": "6.1.0",
    "idna": "3.20", "multidict": "7.2.1", "nest-asyncio": "1.6.0", "priority": "2.0.0",
    "propcache": "0.5.4", "requests": "2.34.2", "typing_extensions": "4.16.0", "urllib3": "2.8.0",
    "uvicorn": "0.54.0", "websockets": "17.4", "wsproto": "1.3.2", "yarl": "1.25.1",
}
# What differs on the older ones: backports, and the last releases for them. Of anyio each has
# another one, as its objects look different in 3, early 4 and late 4.
BACKPORTS = {
    "async-timeout": "5.0.1", "exceptiongroup": "1.3.0", "taskgroup": "0.2.2", "tomli": "2.2.1",
}
LIBRARIES_310 = dict(LIBRARIES, **BACKPORTS, **{
    "anyio": "4.13.0", "asgiref": "3.11.0", "multidict": "7.1.0", "websockets": "16.1.1",
})
LIBRARIES_39 = dict(LIBRARIES_310, **{
    "aiohappyeyeballs": "2.6.1", "aiohttp": "3.13.5", "anyio": "4.12.1", "asgiref": "3.9.2",
    "click": "8.1.8",
    "greenlet": "3.2.5", "h2": "4.3.0", "hpack": "4.1.0", "hypercorn": "0.17.3",
    "multidict": "6.7.1", "propcache": "0.4.1", "requests": "2.32.5", "urllib3": "2.6.3",
    "uvicorn": "0.39.0", "websockets": "15.0.1", "wsproto": "1.2.0", "yarl": "1.22.0",
})
LIBRARIES_38 = dict(LIBRARIES_39, **{
    "aiohappyeyeballs": "2.4.4", "aiohttp": "3.10.11", "aiosignal": "1.3.1", "aiosqlite": "0.20.0",
    "anyio": "3.7.1",
    "asgiref": "3.8.1", "attrs": "25.3.0", "frozenlist": "1.5.0", "greenlet": "3.1.1", "h2": "4.1.0", "hpack": "4.0.0",
    "hyperframe": "6.0.1", "idna": "3.15", "multidict": "6.1.0", "propcache": "0.2.0",
    "requests": "2.32.4", "sniffio": "1.3.1", "typing_extensions": "4.13.2", "urllib3": "2.2.3",
    "uvicorn": "0.33.0", "websockets": "13.1", "yarl": "1.15.2",
})

# What goes into each virtual environment: the newest uvloop that has a wheel
# for that version of Python, and the libraries.
PACKAGES = {
    "3.8": dict(LIBRARIES_38, uvloop="0.21.0"),
    "3.9": dict(LIBRARIES_39, uvloop="0.23.0"),
    "3.10": dict(LIBRARIES_310, uvloop="0.23.0"),
    "3.11": dict(LIBRARIES, uvloop="0.23.0"),
    "3.12": dict(LIBRARIES, uvloop="0.23.0"),
    "3.13": dict(LIBRARIES, uvloop="0.23.0"),
    "3.14": dict(LIBRARIES, uvloop="0.23.0"),
    "3.15": dict(LIBRARIES, uvloop="0.23.0"),
}
WANTED = list(PACKAGES)
OLD = ["2.7", "3.6", "3.7"]  # not supported by the tool: for negative tests
TESTED = ["3.14", "3.15"]  # whose own tests of reading from outside are run on all

# dash is there for programs under test that use a shell.
DEBIAN_PACKAGES = ["python{v}", "dash"]
DEBIAN_SUITE = "unstable"
INDEX_AGE = 3600  # seconds for which a fetched package index is used again
DEBIAN_KEYRINGS = "/usr/share/keyrings/debian-archive-keyring."

REPO = Path(__file__).resolve().parent.parent.parent
TARGET = (REPO / "target").resolve()
PYTHONS = TARGET / "pythons"
VENVS = TARGET / "venvs"
MANIFEST = TARGET / "pythons.json"


class Failure(Exception):
    """Something that could not be done, told in one line."""


class NoPackage(Failure):
    """Debian does not have it; asking again is of no use."""

    def __init__(self, package, suite=DEBIAN_SUITE):
        super().__init__("Debian %s has no %s" % (suite, package))
        self.package = package


def note(text):
    print("pythons: " + text, file=sys.stderr, flush=True)


def finish(passed, failed, ignored=0):
    """Say what a script of checks came to, in the words of the test runners, and end it."""
    print("test result: %s. %d passed; %d failed; %d ignored;" % ("FAILED" if failed else "ok", passed, failed, ignored))
    sys.exit(failed > 0)


def run(argv, **options):
    """The standard output of a command; a Failure with its last error line otherwise."""
    argv = [str(arg) for arg in argv]
    options.setdefault("timeout", 900)
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            universal_newlines=True, errors="replace", **options)
    except OSError as error:
        raise Failure("%s: %s" % (argv[0], error.strerror)) from None
    except subprocess.TimeoutExpired:
        raise Failure("%s: no end after %s s" % (argv[0], options["timeout"])) from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        # apt and pip mark the lines that matter.
        marked = [line for line in lines if re.match(r"(E|ERROR):", line)]
        said = marked[0] if marked else (lines or ["status %d" % done.returncode])[-1].strip()
        raise Failure("%s: %s" % (Path(argv[0]).name, said.rstrip(".")))
    return done.stdout


def write_file(path, text, mode=0o644):
    """Replace a file in one step; leave it alone if it says the same already."""
    try:
        if path.read_text() == text and (path.stat().st_mode & 0o777) == mode:
            return
    except OSError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(".%s.new-%d" % (path.name, os.getpid()))
    new.write_text(text)
    new.chmod(mode)
    os.replace(new, path)


def read_json(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def version_key(text):
    return [int(part) for part in re.findall(r"\d+", text)]


def parallel(function, items):
    with concurrent.futures.ThreadPoolExecutor(max_workers=(os.cpu_count() or 2) + 2) as pool:
        return list(pool.map(function, items))


# --- Finding interpreters -----------------------------------------------------

# Runs under 2.7 too.
PROBE = r"""
import json, sys, sysconfig
def library():  # that of the running process: Debian builds one it does not use itself
    with open("/proc/self/maps") as maps:
        for line in maps:
            if "/libpython" in line:
                return line[line.index("/"):].strip()
def asyncio_module():
    try:
        from importlib.util import find_spec
        return find_spec("_asyncio").origin
    except Exception:
        return None
variable = sysconfig.get_config_var
print(json.dumps({
    "full": sys.version.split()[0],
    "version": "%d.%d" % sys.version_info[:2],
    "final": sys.version_info[3] == "final",
    "cpython": sys.version.find("PyPy") < 0 and sys.version.find("GraalVM") < 0,
    "venv": getattr(sys, "base_prefix", sys.prefix) != sys.prefix or hasattr(sys, "real_prefix"),
    "flags": [name for name, on in [
        ("free-threaded", variable("Py_GIL_DISABLED")), ("debug", variable("Py_DEBUG"))] if on],
    "library": library(),
    "asyncio": asyncio_module(),
}))
"""


def probe(python):
    """What an interpreter says of itself; None if it does not run."""
    try:
        said = run([python, "-E", "-s", "-c", PROBE], timeout=60, cwd="/")
        return json.loads(said)
    except (Failure, ValueError):
        return None


def is_elf(path):
    # Tells a real interpreter from pyenv's shims, which are scripts.
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def python_names(folder):
    try:
        names = os.listdir(str(folder))
    except OSError:
        return []
    return [folder / name for name in names if re.match(r"python(\d(\.\d+)?t?)?$", name)]


def uv_folder():
    if os.environ.get("UV_PYTHON_INSTALL_DIR"):
        return Path(os.environ["UV_PYTHON_INSTALL_DIR"])
    if shutil.which("uv"):
        try:
            return Path(run(["uv", "python", "dir"], timeout=20).strip())
        except Failure:
            pass
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data) / "uv" / "python"


def candidates():
    """Pairs of source and interpreter, preferred sources first, each binary once."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")) / "versions"
    folders = [("pyenv", folder) for folder in sorted(pyenv.glob("*/bin"))]
    folders += [("uv", folder) for folder in sorted(uv_folder().glob("*/bin"))]
    folders += [("path", Path(folder)) for folder in os.environ.get("PATH", "").split(":")
                if os.path.isabs(folder)]
    seen = set()
    for source, folder in folders:
        for path in sorted(python_names(folder)):
            # The same file is often there under several names.  A virtual
            # environment's link leads to the interpreter it was made from.
            real = path.resolve()
            if real not in seen and is_elf(real):
                seen.add(real)
                yield source, real


def discover():
    """Every CPython on this machine: (the chosen one per version, the others)."""
    found = list(candidates())
    chosen, others = {}, []
    for (source, path), said in zip(found, parallel(lambda pair: probe(pair[1]), found)):
        if not said or not said["cpython"] or said["venv"]:
            continue
        one = {"version": said["version"], "full": said["full"], "python": str(path),
               "source": source, "flags": said["flags"], "final": said["final"], "said": said}
        have = chosen.get(one["version"])
        # Ordinary builds only; of one source, the newest.
        if one["flags"]:
            others.append(one)
        elif not have:
            chosen[one["version"]] = one
        elif have["source"] == source and (
                (one["final"], version_key(one["full"])) > (have["final"], version_key(have["full"]))):
            others.append(have)
            chosen[one["version"]] = one
        else:
            others.append(one)
    return chosen, others


# --- Getting missing ones: uv -------------------------------------------------

def install_with_uv(versions):
    for version in versions:
        note("%s: asking uv" % version)
        try:
            run(["uv", "python", "install", version], timeout=300)
        except Failure as failure:
            note("%s: %s" % (version, failure))


# --- Getting missing ones: Debian's packages ------------------------------------

@contextlib.contextmanager
def alone():
    """Who gets something from Debian's packages has it to himself: others may run beside."""
    PYTHONS.mkdir(parents=True, exist_ok=True)
    with open(str(PYTHONS / ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_once(folder, make):
    """Have `make` fill a new folder and put it there, if it is not there: no half of it is ever seen."""
    with alone():
        if folder.exists():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=str(folder.parent)))
        try:
            make(new)
            os.replace(str(new), str(folder))
        finally:
            remove(new)


class Apt:
    """apt with folders of its own, so that it neither reads nor changes the system's state.

    Another suite, or packages for another machine, have folders of their own again.
    """

    def __init__(self, suite=DEBIAN_SUITE, machine=None):
        self.suite, self.machine = suite, machine
        name = "-".join(["apt"] + [word for word in (suite, machine) if word not in (DEBIAN_SUITE, None)])
        self.home = PYTHONS / name
        self.archives = self.home / "cache" / "archives"
        self.index = self.home / "index-fetched"
        self.absent = self.home / "absent.json"  # packages that index does not have
        self.updated = False  # the index, in this run
        self.failed = None  # the Failure of that

    def environment(self):
        return dict(os.environ, APT_CONFIG=str(self.home / "apt.conf"), LC_ALL="C",
                    DEBIAN_FRONTEND="noninteractive")

    def __call__(self, *argv, **options):
        return run(argv, env=self.environment(), **options)

    def mirrors(self):
        """Archives the system's own apt uses, likeliest first."""
        system = dict(os.environ, LC_ALL="C")
        listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)",
                      "Created-By: Packages"], env=system)
        ranked = []
        for line in listed.splitlines():
            uri, release, component, origin = line.split("|")
            if component != "main":
                continue
            # A dash marks a partial archive: security, updates, backports.
            rank = (origin != "Debian", "-" in release or "security" in uri)
            ranked.append((rank, uri))
        return list(dict.fromkeys(uri for _, uri in sorted(ranked)))[:4]

    def prepare(self, fresh=False):
        """Write the private configuration and fetch the package index, once a run at most."""
        if self.failed:
            raise self.failed
        try:
            age = time.time() - self.index.stat().st_mtime
        except OSError:
            age = INDEX_AGE
        if self.updated or (age < INDEX_AGE and not fresh):
            return
        try:
            self._update()
        except Failure as failure:
            self.failed = failure
            raise
        self.updated = True
        remove(self.absent)
        self.index.touch()

    def _update(self):
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise Failure("no apt-get and dpkg-deb here")
        for folder in [self.home / "lists" / "partial", self.archives / "partial"]:
            folder.mkdir(parents=True, exist_ok=True)
        # An empty status file: nothing counts as installed, so that the whole
        # closure of dependencies is fetched.
        write_file(self.home / "status", "")
        settings = [
            ("Dir::State", self.home), ("Dir::State::status", self.home / "status"),
            ("Dir::Cache", self.home / "cache"),
            ("Dir::Etc::sourcelist", self.home / "sources.list"),
            ("Dir::Etc::sourceparts", "/dev/null"), ("Dir::Etc::Parts", "/dev/null"),
            ("Dir::Etc::main", "/dev/null"), ("Dir::Etc::preferences", "/dev/null"),
            ("Dir::Etc::preferencesparts", "/dev/null"),
            ("APT::Install-Recommends", "false"), ("APT::Sandbox::User", "root"),
            ("pkgCacheGen::Essential", "none"),
        ]
        text = "".join('%s "%s";\n' % pair for pair in settings)
        # Of the system's configuration, how to fetch (proxies and the like).
        for line in run(["apt-config", "dump"]).splitlines():
            if re.match(r"Acquire::(?!IndexTargets|Languages)", line) and not line.endswith(' "";'):
                text += line + "\n"
        text += 'Acquire::Languages "none";\n'
        if self.machine:
            text += 'APT::Architecture "%s";\nAPT::Architectures { "%s"; };\n' % (self.machine, self.machine)
        write_file(self.home / "apt.conf", text)

        keyring = [DEBIAN_KEYRINGS + end for end in ("pgp", "gpg") if os.path.exists(DEBIAN_KEYRINGS + end)]
        signed = "[signed-by=%s] " % keyring[0] if keyring else ""
        mirrors = self.mirrors()
        if not mirrors:
            raise Failure("the system's apt sources name no archive")
        note("fetching the package index of Debian " + " ".join(filter(None, [self.suite, self.machine])))
        failures = []
        for mirror in mirrors:
            write_file(self.home / "sources.list", "deb %s%s %s main\n" % (signed, mirror, self.suite))
            try:
                # Else an index that could not be fetched were only a warning.
                self("apt-get", "--error-on=any", "update")
                return
            except Failure as failure:
                failures.append(failure)
        raise failures[0]

    def fetch(self, packages):
        """Download packages with all they depend on: {name: (version, file)}."""
        self.prepare()
        # Remembered as long as the index, since apt takes a second to tell.
        absent = read_json(self.absent) or []
        for package in packages:
            if package in absent:
                raise NoPackage(package, self.suite)
        try:
            return self._fetch(packages)
        except NoPackage as failure:
            write_file(self.absent, json.dumps(absent + [failure.package]) + "\n")
            raise
        except Failure:
            if self.updated:
                raise
        # The index may be too old: the archive drops what it replaces.
        self.prepare(fresh=True)
        return self._fetch(packages)

    def _fetch(self, packages):
        for package in packages:
            # Asked first, as "install" would take an unknown name for a pattern.
            try:
                self("apt-cache", "show", package)
            except Failure:
                raise NoPackage(package, self.suite) from None
        plan = self("apt-get", "--simulate", "install", *packages)
        chosen = {}
        for name, version, arch in re.findall(r"^Inst (\S+) \((\S+) .*?\[(\w+)\]\)", plan, re.M):
            name = name.split(":")[0]
            file = "%s_%s_%s.deb" % (name, version.replace(":", "%3a"), arch)
            chosen[name] = (version, self.archives / file)
        for package in packages:
            if package not in chosen:  # the name of a virtual one, which others provide
                raise NoPackage(package, self.suite)
        self("apt-get", "--yes", "--download-only", "install", *packages)
        for _, file in chosen.values():
            if not file.exists():
                raise Failure("apt-get did not bring %s" % file.name)
        return chosen


def unpack(package, folder, member=None):
    """Unpack a package's files, or only one folder of them; no root needed."""
    # Not dpkg-deb --extract: it would replace links such as /lib by folders.
    tar = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(folder)]
    tar += [member] if member else []
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as reader:
        done = subprocess.run(tar, stdin=reader.stdout, stderr=subprocess.PIPE, universal_newlines=True)
        reader.stdout.close()
    if done.returncode or reader.returncode:
        raise Failure("cannot unpack %s: %s" % (package.name, (done.stderr.splitlines() or ["?"])[-1]))


# Enters a root.  It only ever execs, so the process id stays, and mounts only
# in a mount namespace of its own, so they end with the process: outside,
# nothing is ever mounted and the root can be removed at any time.
ENTER = r"""#!/bin/sh
# Made by scripts/pythons.  Runs a program with the root changed to
# {root_name}, keeping the process id and the working folder:
#   {name} PROGRAM [ARGUMENT ...]
as_root=
[ "$(id -u)" = 0 ] || as_root=--map-root-user
exec unshare $as_root --mount --propagation private -- /bin/sh -c '
root=$1 && repo=$2 && target=$3 && shift 3
here=$(pwd -P)

# Folders of the outside are seen under the same paths: parents first, so
# that what lies in one is not bound twice.
shown=
show() {{
    case $1 in
        / | /bin | /bin/* | /dev | /dev/* | /etc | /etc/* | /lib* | /proc | /proc/* | \
        /sbin | /sbin/* | /sys | /sys/* | /usr | /usr/*) return ;;
    esac
    for dir in $shown; do
        case $1/ in "$dir"/*) return ;; esac
    done
    [ -d "$1" ] || return 0
    [ -d "$root$1" ] || mkdir -p "$root$1" 2>/dev/null || return 0
    mount --rbind "$1" "$root$1" && shown="$shown$1
"
}}
set -f
IFS="
"
for dir in $(printf "%s\n" /tmp "$repo" "$target" "${{TMPDIR:-/tmp}}" "$here" | LC_ALL=C sort -u); do
    show "$dir"
done
mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" || exit 126
if ! [ -d "$root$here" ]; then
    echo "{name}: $here is not visible inside; using /" >&2
    here=/
fi
exec unshare --root="$root" --wd="$here" -- "$@"
' {name} {root} {repo} {target} "$@"
"""

RUN = """#!/bin/sh
# Made by scripts/pythons.
exec {enter} {program} "$@"
"""


def root_of(version):
    return PYTHONS / ("root-" + version)


def launchers(version):
    """Write the launchers of a root; gives (the one that enters it, the interpreter's)."""
    root = root_of(version)
    enter = PYTHONS / "bin" / ("enter-" + version)
    python = PYTHONS / "bin" / ("python" + version)
    quoted = {"root": root, "repo": REPO, "target": TARGET}
    quoted = {key: shlex.quote(str(value)) for key, value in quoted.items()}
    write_file(enter, ENTER.format(name=enter.name, root_name=root.name, **quoted), 0o755)
    write_file(python, RUN.format(enter=shlex.quote(str(enter)), program="/usr/bin/python" + version), 0o755)
    return enter, python


def unpack_root(version, apt):
    """Unpack an interpreter and all it needs into its root."""
    packages = apt.fetch([name.format(v=version) for name in DEBIAN_PACKAGES])
    note("%s: unpacking %d packages" % (version, len(packages)))
    lay_root(root_of(version), packages)


def lay_root(root, packages):
    """Make a root of fetched packages, as Apt.fetch gives them."""
    new = root.with_name(".%s.new-%d" % (root.name, os.getpid()))
    new.mkdir(parents=True)
    # Debian's merged /usr: these links come from no package's file list.
    for name in ["bin", "sbin", "lib", "lib64"]:
        (new / "usr" / name).mkdir(parents=True)
        (new / name).symlink_to("usr/" + name)
    for _, file in packages.values():
        unpack(file, new)
    for name in ["proc", "dev", "tmp", "etc"]:
        (new / name).mkdir(exist_ok=True)
    # No maintainer script runs here, so what those would make is made by hand.
    for name in ["hosts", "passwd", "group", "resolv.conf", "localtime"]:
        try:
            shutil.copyfile("/etc/" + name, str(new / "etc" / name))
        except OSError:
            pass
    (new / "etc" / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    stamp = {"packages": {name: pair[0] for name, pair in sorted(packages.items())}}
    (new / ".complete.json").write_text(json.dumps(stamp, indent=1) + "\n")
    remove(root)
    os.replace(new, root)


def remove(path):
    """Remove a folder, out of the way first so that no half of it is ever taken for whole."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        old = path.with_name(".%s.old-%d" % (path.name.lstrip("."), os.getpid()))
        os.replace(path, old)
        shutil.rmtree(str(old))


def debian_interpreter(version, apt, refresh):
    root = root_of(version)
    if refresh or not read_json(root / ".complete.json"):
        if not shutil.which("unshare"):
            raise Failure("no unshare here, with which to change the root")
        unpack_root(version, apt)
    _, python = launchers(version)
    try:
        said = json.loads(run([python, "-E", "-s", "-c", PROBE], timeout=60, cwd="/"))
    except Failure as failure:
        raise Failure("unpacked, but cannot be run: %s" % failure) from None
    except ValueError:
        raise Failure("unpacked, but says nothing sensible") from None
    return {"version": version, "full": said["full"], "python": str(python), "source": "debian",
            "root": str(root), "flags": said["flags"], "said": said}


# --- Virtual environments -------------------------------------------------------

def pip_command(interpreters):
    """A pip, or uv's, that can fetch for any version; None if there is none."""
    known = [one["python"] for one in interpreters if not one.get("root")]
    for python in [sys.executable] + sorted(known, key=version_key, reverse=True):
        try:
            run([python, "-m", "pip", "--version"], timeout=60)
            return [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--no-warn-conflicts", "--retries", "2"]
        except Failure:
            continue
    return ["uv", "pip", "install", "--quiet"] if shutil.which("uv") else None


class Pip:
    def __init__(self, interpreters):
        self.interpreters = interpreters
        self.command = None

    def install(self, version, packages, folder, *options):
        self.command = self.command or pip_command(self.interpreters)
        if not self.command:
            raise Failure("no pip and no uv here")
        # Wheels only, chosen for that version by name: so pip need not run in
        # the interpreter itself, which may have none.
        run(self.command + ["--no-deps", "--only-binary", ":all:", "--python-version", version,
                            "--target", folder, *options] + ["%s==%s" % pair for pair in sorted(packages.items())],
            timeout=300)


CHECK = """
import asyncio, sys
loop = "asyncio"
if len(sys.argv) > 1:
    import uvloop
    uvloop.install()
    loop = "uvloop"
assert sys.prefix != sys.base_prefix, "not in the virtual environment"
async def main():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__.split(".")[0]
assert asyncio.run(main()) == loop, "not the event loop of " + loop
"""


def make_venv(one, pip, refresh):
    """Make an interpreter's virtual environment; fills in one["venv"] and one["uvloop"]."""
    version = one["version"]
    packages = PACKAGES[version]
    venv = VENVS / version
    stamp = venv / ".complete.json"
    wanted = {"python": one["python"], "full": one["full"], "packages": packages, "target": str(TARGET)}
    python = venv / "bin" / "python"
    inner = venv / "bin" / ("python" + version)  # what the launcher runs inside a root
    if one.get("root"):
        # Before the shortcut below: the folder may have been made by an older script.
        enter, _ = launchers(version)
        launcher = RUN.format(enter=shlex.quote(str(enter)), program=shlex.quote(str(inner)))
    have = read_json(stamp)
    if not refresh and have and have.get("wanted") == wanted and os.path.lexists(str(python)):
        if one.get("root"):
            write_file(python, launcher, 0o755)
        one["venv"], one["uvloop"] = str(python), have["uvloop"]
        return

    note("%s: making its virtual environment" % version)
    remove(venv)
    VENVS.mkdir(parents=True, exist_ok=True)
    # No pip of its own: that saves seconds each, and Debian's have none.
    run([one["python"], "-m", "venv", "--without-pip", venv], cwd=str(REPO))
    if one.get("root"):
        # Its links lead to the interpreter inside the root; from outside,
        # "python" is a launcher, and "python3" is the same.
        for name in ["python", "python3"]:
            (venv / "bin" / name).unlink()
        (venv / "bin" / "python3").symlink_to("python")
        write_file(python, launcher, 0o755)
    check = [python, "-E", "-s", "-c", CHECK]
    run(check, timeout=60, cwd=str(REPO))
    got = {}
    folder = venv / "lib" / ("python" + version) / "site-packages"
    # uvloop by itself, so that it is there whatever happens to the libraries.
    only = {name: packages[name] for name in ["uvloop"] if name in packages}
    others = {name: packages[name] for name in packages if name not in only}
    for part, event_loop in [(only, "uvloop"), (others, None)]:
        try:
            if part:
                pip.install(version, part, folder)
            if part and event_loop:
                run(check + [event_loop], timeout=60, cwd=str(REPO))
            got.update(part)
        except Failure as failure:
            note("%s: its virtual environment lacks packages: %s" % (version, failure))
    uvloop = got.get("uvloop")
    one["venv"], one["uvloop"] = str(python), uvloop
    if got == packages:  # else another run is to try again
        write_file(stamp, json.dumps({"wanted": wanted, "uvloop": uvloop}, indent=1) + "\n")


# --- Debug information ----------------------------------------------------------

def contains(path, text):
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.rfind(text) >= 0
    except (OSError, ValueError, TypeError):
        return False


def build_id(path):
    """The build id of an ELF file, by the bytes of its note's head (name GNU, type 3)."""
    head = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    at = data.find(head)
    return data[at + len(head):at + len(head) + 20].hex() if at >= 0 else None


def debug_files(one):
    """Files with DWARF: of the interpreter and of its _asyncio module."""
    root, said = one.get("root"), one["said"]
    core = said["library"] or (root + "/usr/bin/python" + one["version"] if root else one["python"])
    module = said["asyncio"]
    if root and module:
        module = root + module  # it was told as seen from inside
    if said["asyncio"] == "built-in":
        module = core
    found = {}
    for name, path in [("core", core), ("asyncio", module)]:
        found[name] = None
        if not path or not os.path.exists(path):
            continue
        if contains(path, b"\0.debug_info\0"):
            found[name] = path
        elif root:
            number = build_id(path) or "----"
            detached = (PYTHONS / ("symbols-" + one["version"]) / "usr/lib/debug/.build-id"
                        / number[:2] / (number[2:] + ".debug"))
            found[name] = str(detached) if detached.exists() else None
    return found


def unpack_part(package, member, folder, apt):
    """Download a package by itself and unpack one part of it."""
    apt.prepare()
    downloads = apt.archives / "partial"
    apt("apt-get", "download", package, cwd=str(downloads))
    for file in downloads.glob(package.partition("=")[0] + "_*.deb"):
        unpack(file, folder, member)
        file.unlink()


def fetch_symbols(one, apt):
    """Unpack the detached debug information of an interpreter that came from Debian."""
    version = one["version"]
    package = "python%s-dbg" % version
    installed = read_json(root_of(version) / ".complete.json")["packages"]["python" + version]
    folder = PYTHONS / ("symbols-" + version)
    if (read_json(folder / ".complete.json") or {}).get("version") == installed:
        return
    note("%s: fetching debug information" % version)
    new = PYTHONS / (".%s.new-%d" % (folder.name, os.getpid()))
    new.mkdir(parents=True)
    try:
        # It must be of the very same build.
        unpack_part("%s=%s" % (package, installed), "./usr/lib/debug", new, apt)
    except Failure as failure:
        raise Failure("%s (the archive may have moved on: use --refresh --symbols)" % failure) from None
    (new / ".complete.json").write_text(json.dumps({"version": installed}) + "\n")
    remove(folder)
    os.replace(new, folder)


# --- CPython's own tests ----------------------------------------------------------

def external_tests(version, python):
    """Where the file with CPython's tests of reading from outside lies, or would lie once fetched."""
    name = "python%s/test/test_external_inspection.py" % version
    own = Path(python).parent.parent / "lib" / name if python else None
    if own and own.exists():  # pyenv leaves them in, uv and Debian do not
        return own
    return PYTHONS / ("tests-" + version) / "usr/lib" / name


def fetch_tests(version, apt):
    note("%s: fetching CPython's tests of reading from outside" % version)
    folder = PYTHONS / ("tests-" + version)
    new = PYTHONS / (".%s.new-%d" % (folder.name, os.getpid()))
    new.mkdir(parents=True)
    part = "./usr/lib/python%s/test/test_external_inspection.py" % version
    unpack_part("libpython%s-testsuite" % version, part, new, apt)
    remove(folder)
    os.replace(new, folder)


# --- All of it ------------------------------------------------------------------

def write_manifest(interpreters, missing, old, others, tests):
    """
    Write target/pythons.json:

    interpreters  one per supported version found: version, full; python and
                  venv, to be exec'd (the process id stays); uvloop, its
                  version there; root, if it runs with a changed one; source;
                  debug, the files that hold DWARF
    missing       supported versions not to be had; reasons tells why
    old           versions the tool does not support
    others        further interpreters on this machine
    tests         CPython's tests of reading from outside: a file per version
    """
    keys = ["version", "full", "python", "venv", "uvloop", "root", "source", "debug"]
    short = ["version", "full", "python", "source", "flags"]
    manifest = {
        "interpreters": [{key: one.get(key) for key in keys} for one in interpreters],
        "missing": list(missing),
        "reasons": missing,
        "old": [{key: one.get(key) for key in short} for one in old],
        "others": [{key: one.get(key) for key in short} for one in others],
        "tests": tests,
    }
    write_file(MANIFEST, json.dumps(manifest, indent=2) + "\n")


def read_manifest():
    """What write_manifest wrote; a script ends where nothing did."""
    manifest = read_json(MANIFEST)
    if not manifest:
        sys.exit("no %s: run scripts/pythons first" % MANIFEST)
    return manifest


def print_table(interpreters, missing, old):
    home = os.path.join(str(REPO), "")

    def brief(path):
        return path[len(home):] if path and path.startswith(home) else path or "-"

    rows = [("VERSION", "FULL", "SOURCE", "UVLOOP", "DWARF", "PYTHON", "VENV")]
    for one in interpreters:
        rows.append((one["version"], one["full"], one["source"], one.get("uvloop") or "-",
                     "yes" if one["debug"]["core"] else "-", brief(one["python"]), brief(one.get("venv"))))
    for one in old:
        rows.append((one["version"], one["full"], one["source"], "-", "-", brief(one["python"]), "(old)"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for version, reason in missing.items():
        print("missing %s: %s" % (version, reason))


def prepare(options):
    for pattern in [".*.new-*", ".*.old-*"]:  # what a run that was stopped left
        for left in list(PYTHONS.glob(pattern)) + list(VENVS.glob(pattern)):
            shutil.rmtree(str(left)) if left.is_dir() else left.unlink()

    chosen, others = discover()
    if shutil.which("uv"):
        absent = [version for version in WANTED
                  if version not in chosen and not read_json(root_of(version) / ".complete.json")]
        if absent:
            install_with_uv(absent)
            chosen, others = discover()

    apt, missing = Apt(), {}
    if options.refresh:
        remove(apt.index)
    remedy = "; try `uv python install {0}` or `pyenv install {0}`, then run this again"
    for version in WANTED:
        if version in chosen:
            continue
        try:
            chosen[version] = debian_interpreter(version, apt, options.refresh)
        except Failure as failure:
            missing[version] = str(failure) + remedy.format(version)
    interpreters = [chosen[version] for version in WANTED if version in chosen]
    old = [chosen[version] for version in OLD if version in chosen]

    pip = Pip(interpreters)
    for one in interpreters:
        try:
            make_venv(one, pip, options.refresh)
        except Failure as failure:
            note("%s: no virtual environment: %s" % (one["version"], failure))
    for one in interpreters:
        if options.symbols and one["source"] == "debian":
            try:
                fetch_symbols(one, apt)
            except Failure as failure:
                note("%s: no debug information: %s" % (one["version"], failure))
        one["debug"] = debug_files(one)

    tests = {}
    for version in TESTED:
        file = external_tests(version, chosen[version]["python"] if version in chosen else None)
        try:
            if options.tests and (PYTHONS in file.parents and options.refresh or not file.exists()):
                fetch_tests(version, apt)
        except Failure as failure:
            note("%s: no tests of reading from outside: %s" % (version, failure))
        if file.exists():
            tests[version] = str(file)

    write_manifest(interpreters, missing, old, others, tests)
    print_table(interpreters, missing, old)
    return missing
