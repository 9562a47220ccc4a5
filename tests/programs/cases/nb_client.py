"""What runs notebooks: a thread has a loop of its own for the heartbeat, in which it sleeps."""

# packages: ipykernel==6.29.5
# versions: 3.8-3.13
# wanted: nothing

import time

import case
from jupyter_client.manager import KernelManager

answered = [0]
kernels = KernelManager()
kernels.start_kernel()
client = kernels.blocking_client()
client.start_channels()
client.wait_for_ready(timeout=60)
case.ready_when(lambda: answered[0] > 2)
while True:
    client.execute_interactive("1 + 1", timeout=60)
    answered[0] += 1
    time.sleep(0.3)
