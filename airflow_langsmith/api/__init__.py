"""
LangSmith's HTTP API, in either of its versions, as pages of run records.

``settings`` says where and with which key, and ``hosts`` reads the address; ``query`` is what is asked, in words of
``filters``, which ``syntax`` checks; ``negotiator`` chooses ``v1`` or ``v2``, which write and read it on the wire;
``wire`` decodes all bodies, ``mending`` what is almost JSON. ``walk`` turns one query into all its pages, ``listing`` a
list that is paged by number; ``ids`` tells what came before. ``single``, ``reads``, ``census``, ``stats`` and
``retention`` ask all else. ``payloads`` and ``attachments`` fetch what pages leave out, ``media`` knows its types.
``flow`` retries, without I/O; ``pacing`` keeps the budget; ``transport`` is the network; ``client`` drives them, and
``waits`` measures what that costs. ``records`` is what comes, ``tree`` and ``sampling`` say which of it stays,
``addresses`` are its places in the UI. ``errors`` is what goes wrong, ``messages`` how it reads. ``templates`` renders
filters. Knows nothing of Airflow, files or tables.
"""
