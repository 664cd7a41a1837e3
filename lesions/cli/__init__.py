"""The command line: `python -m lesions COMMAND`, one module a command.

A command reads its arguments, calls the rooms that do the work and prints what came out. It
imports those rooms when it runs, so that `--help` is quick and no command needs the packages of
another. Computation, drawing and file formats belong in the rooms; nothing imports this one.
"""

from lesions.cli.command_line import main
