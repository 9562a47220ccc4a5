"""A shop on gRPC: all requests wait for a lock, whose holder waits for a stock that is silent."""

# packages: grpcio==1.76.0
# packages-3.9: grpcio==1.64.3
# versions: 3.9 3.11 3.13
# wanted: lock-convoy peer-silent
# shown: RPC /shop.Orders/Get shop_grpc.py OLDEST
# wait: 8s

import asyncio
import subprocess
import sys

import case
import grpc
import shop

CLIENTS = """
import grpc, sys, time
channel = grpc.insecure_channel("127.0.0.1:%s" % sys.argv[1])
get = channel.unary_unary("/shop.Orders/Get")
calls = [get.future(b"SECRET") for _ in range(int(sys.argv[2]))]
time.sleep(int(sys.argv[3]))
"""


async def get(request, context):
    async with shop.lock():
        reader, writer = await shop.open_stock()
        writer.write(b"how many are left?\n")
        return await reader.readline()  # culprit


async def main():
    server = grpc.aio.server()
    handlers = {"Get": grpc.unary_unary_rpc_method_handler(get)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
    server.add_insecure_port("127.0.0.1:%d" % shop.PORT)
    await server.start()
    words = [shop.PORT, shop.REQUESTS, case.ALARM]
    case.keep(subprocess.Popen([sys.executable, "-c", CLIENTS] + [str(word) for word in words]))
    shop.ready()
    await server.wait_for_termination()


asyncio.run(main())
