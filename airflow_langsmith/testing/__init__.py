"""A LangSmith server in a box, for the demo, our own tests and yours."""
