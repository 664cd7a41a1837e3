"""An honest study of skin-lesion classification on HAM10000. Not for clinical use."""
