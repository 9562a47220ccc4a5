"""Maps a file into memory and then runs a program: mapping.py FILE PROGRAM [ARGUMENT ...]."""

import sys

sys.dont_write_bytecode = True

import mmap
import runpy

with open(sys.argv[1], "rb") as file:
    MAPPED = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
