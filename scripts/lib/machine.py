"""An emulated machine: a Debian kernel, a Debian Python, and what is to be tried there.

Nothing is installed: the emulator, kernels and Pythons are unpacked from Debian's packages into
target/machines.  A machine boots from an archive in memory and powers off by itself, in seconds.
"""

import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
from pathlib import Path

from lib.pythons import PACKAGES, TARGET, Apt, Failure, Pip, make_once, note, read_manifest, unpack, unpack_part

HOME = TARGET / "machines"
GUEST = Path(__file__).resolve().parent / "guest"
EMULATOR_SUITE = "bookworm"
# Debian's name of a processor: the emulator's package, its program, its options, the console.
PROCESSORS = {
    "amd64": ("qemu-system-x86", "qemu-system-x86_64", ["-M", "pc,usb=off,vmport=off", "-cpu", "max"],
              "ttyS0 reboot=t no_timer_check tsc=reliable noreplace-smp"),
    "arm64": ("qemu-system-arm", "qemu-system-aarch64", ["-M", "virt,gic-version=3", "-cpu", "cortex-a57"], "ttyAMA0"),
}
WHEELS = {"amd64": "x86_64", "arm64": "aarch64"}
LIBRARIES = "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"
KERNEL = ("quiet panic=-1 mitigations=off random.trust_cpu=on sysrq_always_enabled=1 rdinit=/init console=")
MEMORY = 1024  # MiB
PATIENCE = 240  # seconds, for a machine that powers off after some 20

# What no program here needs, and would take long to copy.
UNUSED = re.compile(
    r"^usr/share/(?!zoneinfo$)|^(usr/)?(s?bin)/(?!busybox|python3)|/gconv/|/audit/|^var|^etc/|"
    r"/(lib2to3|pydoc_data|ensurepip|unittest|sqlite3|xml|curses|wsgiref|dbm|tkinter|idlelib|test)(/|$)|"
    r"/python3/dist-packages/|/perl|/systemd(/|$)|\.a$")

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox chmod 1777 /tmp
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/bin:/usr/bin HOME=/tmp PYTHONUNBUFFERED=1 PYTHONPATH=/packages
echo "== kernel $(uname -r)"
sh /guest/$(cat /guest/script) </dev/null 2>&1
echo "== end"
sync
echo o > /proc/sysrq-trigger
sleep 5
"""


class Machine:
    """`kernel` and `python` are suites of Debian."""

    def __init__(self, kernel, processor, python, version):
        self.kernel, self.processor, self.python, self.version = kernel, processor, python, version

    # --- Getting what it is made of -------------------------------------------

    def prepare(self):
        make_once(self.emulator, self._emulator)
        make_once(self.image, self._kernel)
        make_once(self.root, self._root)

    @property
    def emulator(self):
        return HOME / PROCESSORS[self.processor][0]

    @property
    def image(self):
        return HOME / ("kernel-%s-%s" % (self.kernel, self.processor))

    @property
    def root(self):
        return HOME / ("root-%s-%s-%s" % (self.python, self.version, self.processor))

    def _emulator(self, new):
        note("unpacking the emulator of %s" % self.processor)
        for _, file in Apt(EMULATOR_SUITE, "amd64").fetch([PROCESSORS[self.processor][0]]).values():
            unpack(file, new)

    def _kernel(self, new):
        apt = Apt(self.kernel, self.processor)
        apt.prepare()
        said = apt("apt-cache", "depends", "linux-image-cloud-" + self.processor)
        package = re.search(r"Depends: (linux-image-\S+)", said)
        if not package:
            raise Failure("Debian %s has no kernel for %s" % (self.kernel, self.processor))
        note("unpacking the kernel " + package.group(1))
        unpack_part(package.group(1), "./boot", new, apt)
        image, = new.glob("boot/vmlinuz-*")
        shutil.move(str(image), str(new / "vmlinuz"))

    def _root(self, new):
        note("unpacking Python %s for %s" % (self.version, self.processor))
        for name in ["bin", "sbin", "lib", "lib64"]:  # Debian's merged /usr, which no package makes
            (new / "usr" / name).mkdir(parents=True)
            (new / name).symlink_to("usr/" + name)
        for _, file in Apt(self.python, self.processor).fetch(["python" + self.version, "busybox-static"]).values():
            unpack(file, new)
        manifest = read_manifest()["interpreters"]
        packages = {"uvloop": PACKAGES[self.version]["uvloop"]}
        wheel = WHEELS[self.processor]
        platforms = ["manylinux2014_" + wheel, "manylinux_2_17_" + wheel, "manylinux_2_28_" + wheel]
        Pip(manifest).install(self.version, packages, str(new / "packages"),
                              *[word for name in platforms for word in ("--platform", name)])
        # Installing makes bytecode: emulated, that would take longer than all the rest.
        for one in manifest:
            if one["version"] == self.version:
                library = new / ("usr/lib/python" + self.version)
                for folder in [library, new / "packages"]:
                    subprocess.run([one["python"], "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)

    # --- Running it ------------------------------------------------------------

    def boot(self, tool, script, patience=PATIENCE):
        """The lines that `script` says there, with the tool as /aiospy."""
        files = [entry(name, 0o40755) for name in ("proc", "sys", "tmp", "dev", "guest")]
        files += [entry("dev/console", 0o20600, device=(5, 1)), entry("dev/null", 0o20666, device=(1, 3)),
                  entry("dev/urandom", 0o20666, device=(1, 9)), entry("etc", 0o40755)]
        files.append(entry("etc/passwd", 0o100644, b"root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/tmp:/bin/sh\n"
                                                   b"v:x:1001:1001::/tmp:/bin/sh\n"))
        files.append(entry("etc/group", 0o100644, b"root:x:0:\nu:x:1000:\nv:x:1001:\n"))
        files.append(entry("init", 0o100755, INIT.encode()))
        files.append(entry("guest/script", 0o100644, script.encode()))
        files.append(entry("guest/version", 0o100644, self.version.encode()))
        files += [entry("guest/" + file.name, 0o100755, file.read_bytes()) for file in sorted(GUEST.iterdir()) if file.is_file()]
        files.append(entry("aiospy", 0o100755, tool.read_bytes()))
        with tempfile.NamedTemporaryFile(dir=str(HOME), prefix="initrd-") as archive:
            for part in below(self.root):
                archive.write(part)
            for part in files + [entry("TRAILER!!!", 0)]:
                archive.write(part)
            archive.flush()
            return self._run(archive.name, patience)

    def _run(self, initrd, patience):
        _, program, options, console = PROCESSORS[self.processor]
        parts = [str(self.emulator / part) for part in LIBRARIES]
        # By its own loader and C library, so that the system's may be another.
        command = [str(self.emulator / "lib64/ld-linux-x86-64.so.2"), "--library-path", ":".join(parts),
                   str(self.emulator / "usr/bin" / program), *options,
                   "-L", str(self.emulator / "usr/share/qemu"), "-L", str(self.emulator / "usr/share/seabios"),
                   "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg",
                   "-m", str(MEMORY), "-serial", "stdio", "-kernel", str(self.image / "vmlinuz"),
                   "-initrd", initrd, "-append", KERNEL + console]
        variables = dict(os.environ, QEMU_MODULE_DIR=str(self.emulator / LIBRARIES[0] / "qemu"))
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, env=variables)
        timer = threading.Timer(patience, child.kill)
        timer.start()
        try:
            lines = [line.decode(errors="replace").rstrip("\r\n") for line in child.stdout]
            status = child.wait()
        finally:
            timer.cancel()
            child.kill()
            child.wait()
        if "== end" not in lines:
            raise Failure("the machine ended with %d before its script did:\n%s" % (status, "\n".join(lines[-20:])))
        return lines


# --- An archive as the kernel unpacks it ("newc") --------------------------------

def entry(name, mode, data=b"", device=(0, 0), number=[0]):
    number[0] += 1
    name = name.encode() + b"\0"
    fields = (number[0], mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def below(root):
    for folder, folders, files in os.walk(str(root)):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, str(root))
            if UNUSED.search(inside):
                continue
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                yield entry(inside, 0o120777, os.readlink(path).encode())
            elif stat.S_ISDIR(mode):
                yield entry(inside, mode)
            elif stat.S_ISREG(mode):
                yield entry(inside, mode, Path(path).read_bytes())
