"""Workers that return early forget to release: all others wait for permits that nobody has."""

# wanted: permit-leaked standstill
# says: semaphore

import asyncio

import case


async def worker(semaphore, number):
    await semaphore.acquire()  # culprit
    if number < 3:
        return
    semaphore.release()


async def main():
    loop = asyncio.get_running_loop()
    semaphore = asyncio.Semaphore(3)
    tasks = [asyncio.ensure_future(worker(semaphore, number)) for number in range(50)]
    case.ready_when(lambda: case.waiting(loop, "culprit") == 47)
    await asyncio.gather(*tasks)


asyncio.run(main())
