"""Runs Bjoern, which has no command line: bjoern_main.py PORT."""
import sys

import bjoern

from answer import application

bjoern.run(application, "127.0.0.1", int(sys.argv[1]))
