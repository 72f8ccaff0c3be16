"""Version 2 of the API, as the stand-in serves it."""
