"""Runs a command in a terminal of 200 columns, and prints what it printed there: without one nuget 2.8 never ends to print a list.

usage: terminal.py COMMAND [ARGUMENT...]
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
process = subprocess.Popen(sys.argv[1:], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env={**os.environ, "TERM": "xterm"})
os.close(theirs)
printed = b""
while True:
    try:
        printed += os.read(ours, 65536)
    except OSError:  # the last one has closed it
        break
print(re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])|\r", "", printed.decode()))
sys.exit(process.wait())
