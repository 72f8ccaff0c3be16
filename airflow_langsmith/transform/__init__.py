"""What is done to rows before they land: redacted, flattened. Rows in, rows out."""
