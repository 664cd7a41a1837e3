"""python -m lesions.study."""

import sys

from lesions.study.running import main

sys.exit(main())
