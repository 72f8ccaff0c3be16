"""Version 1 of the API, as the stand-in serves it."""
