"""
LangSmith's HTTP API, in both of its versions, as pages of run records. Knows nothing of Airflow, files or tables.

Where         ``settings``, ``hosts`` (the address in a connection), ``ui_urls`` (addresses in the UI)
What is asked ``query`` (project, window, fields), ``run_filter`` (which runs), ``filter_syntax``, ``sampling``
What comes    ``records``, ``projects``, ``runs``, ``feedback``, ``payloads`` (blob storage), ``attachments``
Versions      ``dialect`` (what a version offers), ``v1``, ``v2``, ``negotiation`` (which one a server is asked in)
Pages         ``pagination`` (by cursor), ``last_page``, ``seen_runs``, ``listing`` (by number), ``ids``
Bytes         ``decoding``, ``json_repair``, ``wire_run``, ``blob_links``, ``media_types``, ``dotted_order``
Requests      ``flow`` (retries, without I/O), ``rate_limit``, ``statuses`` (which error a status is)
Network       ``client`` (drives flows), ``transport``, ``bodies``, ``encodings``, ``deadlines``, ``wait_clock``
"""
