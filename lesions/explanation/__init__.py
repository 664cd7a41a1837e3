"""Heat maps, and measures of what they are worth."""
