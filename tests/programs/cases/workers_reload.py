"""A service under uvicorn's reloader is held by a blocking call in an endpoint; the reloader is asked about."""

# packages: uvicorn==0.54.0
# packages-3.9: uvicorn==0.22.0
# versions: 3.9 3.11 3.13
# loops: asyncio
# options: -s
# wanted: loop-blocked
# within: 3

import workers

app = workers.application(lambda: workers.hold().recv(10))  # culprit

if __name__ == "__main__":
    import uvicorn

    port = workers.port()
    workers.visit()
    uvicorn.run("workers_reload:app", port=port, reload=True, log_level="error")
