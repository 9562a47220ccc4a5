"""A task that holds the event loop for more than a second, in one way or the other (--kind)."""

import asyncio
import concurrent.futures
import ctypes
import itertools
import os
import socket
import subprocess
import tempfile
import threading
import time

import stage


def sleep():
    time.sleep(stage.FOREVER)  # sleep


def read_socket():
    server = stage.silent_server()
    connection = socket.create_connection(server)
    says.append("%s:%d" % server)
    connection.recv(100)  # socket


def take_lock():
    lock = threading.Lock()
    taken = threading.Event()

    def hold():
        with lock:
            taken.set()
            time.sleep(stage.FOREVER)

    threading.Thread(target=hold, name="holder", daemon=True).start()
    taken.wait()
    with lock:  # lock
        pass


def read_file():
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "commands")
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    reader = open(path, "rb", buffering=0)
    os.unlink(path)
    os.rmdir(folder)
    stage.keep(writer)
    says.append(path)
    reader.read(100)  # file


def resolve():
    stage.keep(silent_resolver())
    socket.getaddrinfo("db.example.com", 5432)  # dns


def silent_resolver():
    """Makes this process ask a name server that never answers; other processes keep theirs."""
    pid = os.getpid()
    address = "127.53.%d.%d" % (pid >> 8 & 255, pid & 255)  # one for each process
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, private, bind = 0x20000, 0x40000 | 0x4000, 0x1000

    def check(result):
        assert result == 0, os.strerror(ctypes.get_errno())

    check(libc.unshare(new_mounts))
    with open("/proc/self/mountinfo") as mounts:
        if "shared:" in mounts.read():  # else there is nobody to keep ours from
            check(libc.mount(None, b"/", None, private, None))
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("nameserver %s\noptions timeout:30 attempts:5\n" % address)
        file.flush()
        check(libc.mount(file.name.encode(), b"/etc/resolv.conf", None, bind, None))
    return server


def run_command():
    reader, writer = os.pipe()  # by whose end the command ends when we do
    stage.keep(writer)
    subprocess.run(["sh", "-c", "read line"], stdin=reader)  # subprocess


def checksum(numbers):
    total = 0
    for number in numbers:
        total = (total * 31 + number) % 1000003
    return total


def compute():
    checksum(itertools.count())  # cpu


def wait_for_result():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    future = pool.submit(time.sleep, stage.FOREVER)
    future.result()  # future-result


CALLS = {
    "sleep": sleep,
    "socket": read_socket,
    "lock": take_lock,
    "file": read_file,
    "dns": resolve,
    "subprocess": run_command,
    "cpu": compute,
    "future-result": wait_for_result,
}


async def handler():
    await asyncio.sleep(0)
    try:
        CALLS[stage.kind]()
    except BaseException:
        stage.common.die()


async def main():
    others = [asyncio.create_task(asyncio.sleep(stage.FOREVER)) for _ in range(5)]
    # Its timeout is overdue for no other reason than that the loop is blocked.
    others.append(asyncio.create_task(asyncio.wait_for(asyncio.sleep(stage.FOREVER), 0.1)))
    task = asyncio.create_task(handler(), name="handler")
    reached = {"cpu": lambda: stage.stands_at("cpu")}
    stage.when(
        reached.get(stage.kind, lambda: stage.stuck(stage.kind)),
        lambda: [
            stage.finding("loop-blocked", "critical", [task], stage.kind, stage.kind, says)
        ],
        held_for=1.1,
    )
    await asyncio.wait(others)


says = []  # the peer or the file
stage.run(main())
