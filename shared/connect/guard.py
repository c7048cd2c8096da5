"""Runs a command that ends when this process's stdin closes: python guard.py COMMAND..."""

import subprocess
import sys

from runner import end_with_stdin  # beside this file, which is run as a script

end_with_stdin()
sys.exit(subprocess.call(sys.argv[1:]))
