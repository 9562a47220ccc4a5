"""Values of all kinds that may be secrets: `masked.py [WORD …]`.

Each begins with the same word, so that a search for it finds them all. Prints which of them a report
with --locals shows, and which one lies beside them in the same pages and is shown by none.
"""

import asyncio

import common


def secret(name):
    """A new string, of which no constant of the code is the beginning."""
    return "-".join(["secr", "of", name]).replace("secr", "s3cr3t")


class Request:
    def __init__(self):
        self.body = secret("body")
        self.parts = [secret(f"part{i}") for i in range(100)]


async def handle(request, argument):
    text = secret("text")
    wide = secret("wide") + " \u540d"
    raw = secret("raw").encode()
    table = {secret("key"): secret("value")}
    kept = ValueError(secret("message"))
    await asyncio.sleep(common.FOREVER)
    del request, argument, text, wide, raw, table, kept


async def main():
    task = asyncio.ensure_future(handle(Request(), secret("argument")))
    await asyncio.sleep(0)
    shown = ["body", "part0", "text", "wide", "raw", "key", "value", "message", "argument"]
    common.emit_ready({"shown": shown, "beside": "part99"})
    await task


if __name__ == "__main__":
    common.watchdog()
    common.run("asyncio", main())
