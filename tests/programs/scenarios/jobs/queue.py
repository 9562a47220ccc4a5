"""A file of the program that is called like one of the standard library."""

import socket


def publish(server):
    with socket.create_connection(server) as connection:
        connection.recv(100)
