"""A NATS server for one client, whose every request it answers at once."""

import json
import signal
import socket

signal.alarm(300)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
about = {"server_id": "x", "version": "2.1.0", "max_payload": 1 << 20, "headers": False}
connection.sendall(b"INFO %s\r\n" % json.dumps(about).encode())
subscribed = {}  # subject -> its number


def answer(inbox):
    for subject, number in subscribed.items():
        if inbox == subject or subject.endswith(b"*") and inbox.startswith(subject[:-1]):
            connection.sendall(b"MSG %s %s 2\r\nok\r\n" % (inbox, number))


with connection.makefile("rb") as lines:
    for line in lines:
        words = line.split()
        if words[0] == b"PING":
            connection.sendall(b"PONG\r\n")
        elif words[0] == b"SUB":
            subscribed[words[1]] = words[-1]
        elif words[0] == b"PUB":
            lines.read(int(words[-1]) + 2)
            if len(words) == 4:
                answer(words[2])
