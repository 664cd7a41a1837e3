"""What the app and the HTTP service share: the assessment of one photograph."""
