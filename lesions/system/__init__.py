"""What every room may use: hardware, console, folders."""
