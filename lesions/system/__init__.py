"""What every room may use: hardware, console, files, folders, and what Keras was set to.

Modules are imported one by one, so that a command loads no more than it needs. What knows the
machine or the file system belongs here; what knows photographs, networks or lesions does not.
"""
