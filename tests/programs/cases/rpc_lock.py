"""A call of a gRPC service holds a lock while it waits for a silent server; the others wait for it.

The tasks of grpc.aio are coroutines of Cython's.
"""

# packages: grpcio==1.74.0
# versions: 3.9 3.11 3.13
# wanted: lock-convoy
# within: 6

import asyncio

import case
import grpc

asked = [0]
reads = []


class Prices:
    def __init__(self, address):
        self.lock = asyncio.Lock()
        self.address = address

    async def refresh(self):
        reader, writer = await asyncio.open_connection(*self.address)
        reads.append(writer)
        return await reader.readline()  # culprit

    async def get(self, request, context):
        asked[0] += 1
        async with self.lock:
            return await self.refresh()


class Handlers(grpc.GenericRpcHandler):
    def __init__(self, prices):
        self.prices = prices

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.prices.get)


async def main():
    address = case.silent_server()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Handlers(Prices(address))])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel("127.0.0.1:%d" % port) as channel:
        calls = [channel.unary_unary("/prices/Get")(b"") for _ in range(5)]
        case.ready_when(
            lambda: asked[0] == 5 and reads and case.asleep(), says=lambda: [case.peer(address)]
        )
        await asyncio.gather(*calls)


asyncio.run(main())
