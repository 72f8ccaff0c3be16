"""
From a query to published files.

``export`` owns the run of an export: its options, plan, rows, publication and result. ``read`` brings the rows of a
view, which come by several cursors (``parallel_read``, ``cursor_limit``) or from the ``checkpoints`` of an earlier
attempt. ``row_transforms`` redacts and flattens them, ``parts`` cuts them into local files, which ``encoders`` and
``arrow`` write. Rows that wait on the local disk are in a ``row_file``, all in a ``workdir``. ``publication`` uploads
parts and attachments to a ``destination`` under the names of ``layout``, by ``storage`` and ``uploads``, and makes them
an export by the swap of the manifest; it refuses to replace another one. ``progress`` says how far an export is.
"""
