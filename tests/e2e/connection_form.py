"""Save a connection and test it with Airflow's API, as its form does: python connection_form.py URL KEY."""

from __future__ import annotations

import json
import os
import sys


def main(url: str, key: str) -> None:
    """Print the status and the body of the answer, as JSON."""
    os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "True"
    from airflow.api_fastapi.app import create_app  # noqa: PLC0415  # after the environment is set
    from fastapi.testclient import TestClient  # noqa: PLC0415

    with TestClient(create_app(), base_url="http://localhost") as client:
        token = client.get("/auth/token").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        extra = dict.fromkeys(("workspace_id", "api_version", "requests_per_10s", "timeout", "max_retries", "verify"))
        connection = {
            "connection_id": "by_the_form",
            "conn_type": "langsmith",
            "host": url,
            "login": "",
            "schema": "",
            "port": 0,
            "extra": json.dumps(extra),
        }
        client.post("/api/v2/connections", json={**connection, "password": key}).raise_for_status()
        # The form sends a saved connection with the hidden password of the API.
        answer = client.post("/api/v2/connections/test", json={**connection, "password": "***"})
        print(json.dumps([answer.status_code, answer.json()]))  # noqa: T201  # for the test


if __name__ == "__main__":
    main(*sys.argv[1:])
