from lesions.cli import main

raise SystemExit(main())
