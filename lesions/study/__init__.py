"""The recipes of the published study, its queue, and running and publishing notebooks."""
