"""
From a query to published files.

``export`` owns the run of an export: its options, plan, rows, publication and result. Its rows come from a ``source``.
``pages`` are those of LangSmith: ``read`` brings the rows of a view, by several cursors (``parallel_read``,
``cursor_limit``) or from the ``checkpoints`` of an earlier attempt. ``bulk`` are the files of a bulk export, which
``parquet_read`` reads in ranges (``object_file``). Both give each row once (``distinct_rows``). ``row_transforms``
redacts and flattens rows, ``parts`` cuts them into local files, which ``encoders`` and ``arrow`` write. Rows that wait
on the local disk are in a ``row_file``, all in a ``workdir``. ``publication`` uploads parts and attachments to a
``destination`` under the names of ``layout``, by ``storage`` and ``uploads``, and makes them an export by the swap of
the manifest; it refuses to replace another one. ``progress`` says how far an export is.
"""
