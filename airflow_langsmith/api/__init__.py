"""
LangSmith's HTTP API, in both of its versions, as pages of run records. Knows nothing of Airflow, files or tables.

Where       ``settings``, ``hosts`` (the address in a connection), ``ui_urls`` (addresses in the UI)
Queries     ``query`` (project, window, fields), ``run_filter`` (which runs), ``filter_syntax``, ``sampling``
Data        ``records``, ``projects``, ``runs``, ``feedback``, ``payloads`` (blob storage)
Bulk        ``bulk_exports`` (Bulk Export), ``bulk_request``, ``bulk_records``, ``bulk_verification``, ``bulk_output``
Versions    ``dialect`` (what a version has), ``v1``, ``v2``, ``negotiation`` (which version a server has)
Pages       ``pagination`` (by cursor), ``seen_runs``, ``listing`` (by offset), ``ids``
Files       ``bulk_output`` (what a bulk export wrote), ``bulk_rows`` (runs of the columns of its files)
Bytes       ``decoding``, ``json_repair``, ``wire_run``, ``blob_links``, ``media_types``
Requests    ``flow`` (retries, without I/O), ``rate_limit``, ``statuses`` (which error a status is)
Network     ``client`` (drives flows), ``transport``, ``bodies``
"""
