"""What the app and the service share: the assessment of one picture and all that goes with it.

What turns an uploaded picture into what a person reads belongs here: the assessment, the record
in testing, the one-page report, the texts of the pages and the HTTP service. Networks, heat maps
and figures do not: they come before this room. Only the app, the commands and notebooks import it.
"""

from lesions.system import console

with console.quiet_stderr():  # TensorFlow writes a few lines while it is imported
    from lesions.serving.assessment import Assessment, Assessor, table
