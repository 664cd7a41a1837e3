"""python -m lesions.study."""

import sys

from lesions.system import environment

try:
    environment.check_keras()
except ValueError as problem:
    sys.exit(f"error: {problem}")

from lesions.study.running import main

sys.exit(main())
