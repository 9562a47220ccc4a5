"""One of two workers of hypercorn is held by a blocking call in an endpoint; the master is asked about."""

# packages: hypercorn==0.18.0
# packages-3.9: hypercorn==0.14.4
# versions: 3.9 3.11 3.13
# loops: asyncio
# options: -s
# wanted: loop-blocked
# within: 3

import workers

app = workers.application(lambda: workers.hold().recv(10))  # culprit

if __name__ == "__main__":
    import hypercorn.config
    import hypercorn.run

    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:%d" % workers.port()]
    config.workers = 2
    config.application_path = "workers_hypercorn:app"
    workers.visit()
    hypercorn.run.run(config)
