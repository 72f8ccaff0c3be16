"""
LangSmith for Apache Airflow: runs, traces and feedback in your lake every morning, complete and exactly once.

Data flows in one direction: connection, hook, client, pages, rows, parts, manifest, table. The public modules::

    operators       LangSmithExportOperator, LangSmithBulkExportOperator, LangSmithLoadOperator,
                    LangSmithListRunsOperator, LangSmithReadRunOperator
    sensors         LangSmithFeedbackSensor, LangSmithSettledSensor, LangSmithBulkExportSensor
    triggers        LangSmithFeedbackEventTrigger, for asset watchers
    hooks           LangSmithHook: queries from Python
    windows         TimeWindow [start, end) in UTC, split, trailing                  pure, on pendulum
    filters         LangSmith's filter language as functions                         pure
    manifest        what an export consists of, for its readers
    errors          all errors, by what cures them                                   pure
    testing         LangSmithStandIn, a LangSmith server for tests

What they are made of::

    provider_info   what Airflow discovers
    links           links on a task's page to LangSmith's UI
    airflow_sdk     Airflow's names, for each supported release
    airflow_errors  errors as Airflow acts on them, and advice on arguments
    problems        what that advice is about                                        pure
    connections     Airflow's connections
    arguments       readers of arguments, which templates make text of               pure
    templates       rendering that leaves text as text                               pure
    messages        short lines for Airflow's log view                               pure
    masking         removes secrets from messages                                    pure
    extras          which extra a store needs, and how to install it                 pure
    api             LangSmith's HTTP API, v1 and v2, as pages of runs                no Airflow, no files
    views           kinds of rows: columns, options, and how rows are read           pure
    transform       redaction and flattening of rows                                 pure
    export          rows to files, files to the destination, and the manifest
    tables          from manifests to a table: Iceberg, Delta, DuckDB, PostgreSQL
    waiting         conditions on feedback, and the checks of sensors and triggers   no Airflow

Lower rooms know neither Airflow nor an operator's arguments. The exceptions are ``export.destination`` and
``tables.connections``, because Airflow's connections make a URI a place. ``tests/contract/test_layering.py`` tests who
imports whom.
"""

__version__ = "0.1.0"
