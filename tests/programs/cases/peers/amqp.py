"""An AMQP broker that takes one connection, and says that it is blocked when a message comes."""

import signal
import socket

import pamqp.commands as commands
import pamqp.exceptions as exceptions
import pamqp.frame as frame

signal.alarm(300)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.recv(8)  # the head of the protocol


def send(channel, command):
    connection.sendall(frame.marshal(command, channel))


def answer(channel, command):
    if isinstance(command, commands.Connection.StartOk):
        tune = commands.Connection.Tune(channel_max=100, frame_max=131072, heartbeat=0)
        send(0, tune)
    elif isinstance(command, commands.Connection.Open):
        send(0, commands.Connection.OpenOk())
    elif isinstance(command, commands.Channel.Open):
        send(channel, commands.Channel.OpenOk())
    elif isinstance(command, commands.Confirm.Select):
        send(channel, commands.Confirm.SelectOk())
    elif isinstance(command, commands.Basic.Qos):
        send(channel, commands.Basic.QosOk())
    elif isinstance(command, commands.Basic.Publish):
        send(0, commands.Connection.Blocked(reason="low on memory"))


can = {"publisher_confirms": True, "basic.nack": True}
start = commands.Connection.Start(
    server_properties={"capabilities": can}, mechanisms="PLAIN", locales="en_US"
)
send(0, start)
pending = b""
while True:
    data = connection.recv(65536)
    if not data:
        break
    pending += data
    while pending:
        try:
            size, channel, command = frame.unmarshal(pending)
        except exceptions.UnmarshalingException:
            break  # the rest of it is still to come
        pending = pending[size:]
        answer(channel, command)
