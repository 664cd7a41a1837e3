"""python -m lesions."""

import sys

from lesions.cli.parser import main

sys.exit(main())
