"""One of two workers of granian is held by a blocking call in an endpoint; the master is asked about."""

# packages: granian==2.5.4
# packages-3.9: granian==1.6.4
# versions: 3.9 3.11 3.13
# loops: asyncio
# options: -s
# wanted: loop-blocked
# within: 3

import workers

app = workers.application(lambda: workers.hold().recv(10))  # culprit

if __name__ == "__main__":
    from granian import Granian

    port = workers.port()
    workers.visit()
    Granian("workers_granian:app", port=port, workers=2, interface="asgi", log_enabled=False).serve()
