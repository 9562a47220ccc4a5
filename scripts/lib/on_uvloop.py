"""Runs a program on uvloop, under its own path: on_uvloop.py PROGRAM [ARGUMENT ...]"""

import os
import sys
import warnings

import uvloop

warnings.simplefilter("ignore")
uvloop.install()
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
__file__ = sys.argv[0]
with open(__file__) as program:
    code = compile(program.read(), __file__, "exec")
exec(code)
