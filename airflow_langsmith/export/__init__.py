"""
From rows to published files.

``read`` makes a view's rows of a query: ``cursors`` read its window, several at once, ``late`` finds what feedback
changed, ``gather`` makes traces of roots. ``shape`` redacts, sorts and flattens rows (by way of a ``spool``, if need
be), ``encoders`` and ``arrow`` write them into local files, in a ``workdir``, ``parts`` cuts and names these,
``layout`` says where they lie, ``storage`` puts them there whole, ``attachments`` brings files along, ``publish`` makes
them one export by a ``swap`` of the ``manifest``, which describes it. ``checkpoints`` keep rows there until then, in
``batches``, for a retry to go on from. ``conflicts`` refuses to replace another export, ``expired`` warns of deleted
traces, ``errors`` is what goes wrong. ``pipeline`` walks the whole way, ``progress`` says how far it is.
"""
