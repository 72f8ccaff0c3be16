"""
Bulk Export: LangSmith writes a window of runs into the user's bucket, as Parquet.

``exports`` has the state machine, which the stand-in's clock drives. ``run_execution`` does the work of one run of an
export: it selects rows, ``columns`` reads their values, ``parquet`` encodes them, and ``bucket`` stores the files.
"""
