"""
LangSmith for Apache Airflow: runs, traces and feedback in your lake every morning, complete and exactly once.

Data walk one way through the house: an Airflow connection, a hook, a client, pages of run records, a view's rows,
encoded parts, a manifest::

    provider_info   what Airflow discovers
    hooks           an Airflow connection -> a client
    operators       what DAGs are made of
    sensors         what DAGs wait for; triggers, where they wait on a triggerer
    links           buttons that lead from a task to LangSmith's UI
    arguments       what templates make of arguments, read back
    exceptions      errors as Airflow acts on them
    windows         windows of time, [start, end) in UTC                              pure, on pendulum
    airflow_sdk     Airflow's names, from wherever the installed release keeps them
    extras          which extra a store needs, and how to install it                  pure
    api             LangSmith's HTTP API, both versions, as pages of run records      no Airflow, no files
    views           from runs to rows, and the column contract                        pure
    export          from rows to published files
    waiting         conditions on feedback, and looking at LangSmith until they hold
    testing         LangSmithStandIn, a LangSmith server in a box

The surface, where Airflow is known, is ``hooks``, ``operators``, ``sensors``, ``triggers``, ``links`` and
``exceptions``; nothing below imports them. The one place below that knows Airflow is ``export.destination``, because
Airflow's connections make a URI a place.
"""

__version__ = "0.1.0"
