"""What Bulk Export refuses, and destinations: their checks, changes and secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import ObjectStoragePath

from airflow_langsmith.testing import BulkExportBehaviour, LangSmithStandIn
from airflow_langsmith.testing.refusals import Refusal
from tests.testing.conftest import UNKNOWN_ID, BulkClient

DESTINATIONS = "/api/v1/bulk-exports/destinations"
DAY = {"start_time": "2026-02-28T00:00:00Z", "end_time": "2026-03-01T00:00:00Z"}
CREDENTIALS = {"access_key_id": "AKIA-secret", "secret_access_key": "very-secret"}
LAKE = {
    "destination_type": "s3",
    "display_name": "Airflow's lake-1",
    "config": {"bucket_name": "lake", "prefix": "langsmith/bulk", "region": "eu-central-1"},
    "credentials": CREDENTIALS,
}


def refusal_of(answer: httpx.Response) -> tuple[int, list[str], str]:
    """Return status, place and message of an invalid field."""
    (error,) = answer.json()["detail"]
    return answer.status_code, error["loc"], error["msg"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"bulk_export_destination_id": None}, ["bulk_export_destination_id"]),
        ({"bulk_export_destination_id": "lake"}, ["bulk_export_destination_id"]),
        ({"start_time": None}, ["start_time"]),
        ({"start_time": "yesterday"}, ["start_time"]),
        ({"end_time": None}, ["end_time"]),
        ({"end_time": "2026-02-28T00:00:00Z"}, ["end_time"]),
        ({"interval_hours": 24}, ["end_time"]),
        ({"end_time": None, "interval_hours": 0}, ["interval_hours"]),
        ({"end_time": None, "interval_hours": 169}, ["interval_hours"]),
        ({"session_id": None}, []),
        ({"all_experiments": True}, []),
        ({"session_id": "shop"}, ["session_id"]),
        ({"format": "CSV"}, ["format"]),
        ({"format_version": "v2"}, ["format_version"]),
        ({"compression": "zstd"}, ["compression"]),
        ({"export_fields": ["id", "thread_id"]}, ["export_fields"]),
        ({"export_fields": "id"}, ["export_fields"]),
        ({"name": "daily"}, ["name"]),
    ],
)
def test_an_invalid_field_of_an_export_is_named(bulk: BulkClient, fields: dict[str, Any], place: list[str]) -> None:
    """It is 422, in the form of the validator."""
    status, loc, message = refusal_of(bulk.post(**fields))
    assert (status, loc) == (422, ["body", *place])
    assert message


def test_feedbacks_need_smithdb(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """The column is refused if the other store answers."""
    langsmith.bulk.backend = "clickhouse"
    assert refusal_of(bulk.post(export_fields=["id", "feedbacks"]))[:2] == (422, ["body", "export_fields"])


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"bulk_export_destination_id": UNKNOWN_ID}, "Bulk export destination not found"),
        ({"session_id": UNKNOWN_ID}, "Session not found"),
    ],
)
def test_an_export_needs_what_it_names(bulk: BulkClient, fields: dict[str, Any], detail: str) -> None:
    """An unknown destination or project is 404."""
    answer = bulk.post(**fields)
    assert (answer.status_code, answer.json()) == (404, {"detail": detail})


def test_a_bad_filter_is_refused(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """It is 400 with the words of the parser, and no export is made."""
    answer = bulk.post(filter="eq(is_root")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Failed to parse filter: ")
    assert langsmith.bulk_exports == []


@pytest.mark.parametrize("path", ["", "/runs", f"/runs/{UNKNOWN_ID}"])
def test_an_unknown_export_is_refused(bulk: BulkClient, path: str) -> None:
    """It is 404, also for its runs."""
    answer = bulk.http.get(f"/api/v1/bulk-exports/{UNKNOWN_ID}{path}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Bulk export not found"})


def test_an_unknown_run_is_refused(bulk: BulkClient) -> None:
    """It is 404, and an id that is no UUID is 422."""
    path = f"/api/v1/bulk-exports/{bulk.create()}/runs"
    answer = bulk.http.get(f"{path}/{UNKNOWN_ID}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Bulk export run not found"})
    assert bulk.http.get(f"{path}/first").status_code == 422


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"offset": -1}])
def test_a_page_has_bounds(bulk: BulkClient, query: dict[str, int]) -> None:
    """At most a thousand exports are on a page, and another limit is 422."""
    answer = bulk.http.get("/api/v1/bulk-exports", params=query)
    assert refusal_of(answer)[:2] == (422, ["query", *query])


def test_the_runs_of_a_schedule_need_its_id(bulk: BulkClient) -> None:
    """The parameter is required."""
    answer = bulk.http.get("/api/v1/bulk-exports/runs")
    assert refusal_of(answer) == (422, ["query", "source_bulk_export_id"], "Field required")


def test_a_plan_may_be_without_bulk_export(tmp_path: Path) -> None:
    """Then each creation is 403, and lists are empty."""
    with LangSmithStandIn(bulk=BulkExportBehaviour(has_plan=False)) as langsmith:
        langsmith.add_bucket("lake", tmp_path)
        key = {"X-API-Key": langsmith.api_key}
        with httpx.Client(base_url=langsmith.url, headers=key, verify=False) as http:
            answers = [http.post("/api/v1/bulk-exports", json={}), http.post(DESTINATIONS, json=LAKE)]
            assert [answer.status_code for answer in answers] == [403, 403]
            assert answers[0].json() == {"detail": "Bulk exports are not available on the plan of this organization"}
            assert http.get("/api/v1/bulk-exports").json() == http.get(DESTINATIONS).json() == []


def test_bulk_export_needs_a_key(langsmith: LangSmithStandIn) -> None:
    """Without the key, each endpoint is 401."""
    assert httpx.get(f"{langsmith.url}/api/v1/bulk-exports", verify=False).status_code == 401


def test_a_destination_is_created_without_its_secrets(
    langsmith: LangSmithStandIn, http: httpx.Client, tmp_path: Path
) -> None:
    """The answer has the whole configuration, and of the credentials only their names."""
    langsmith.add_bucket("lake", str(tmp_path))
    answer = http.post(DESTINATIONS, json=LAKE)
    assert answer.status_code == 200
    assert answer.json() == {
        "destination_type": "s3",
        "display_name": "Airflow's lake-1",
        "config": {
            "bucket_name": "lake",
            "prefix": "langsmith/bulk",
            "region": "eu-central-1",
            "endpoint_url": None,
            "include_bucket_in_prefix": True,
            "s3_additional_kwargs": None,
            "config_kwargs_s3": None,
            "aws_role_arn": None,
        },
        "id": answer.json()["id"],
        "tenant_id": langsmith.workspace_id,
        "created_at": "2026-03-01T12:00:00+00:00",
        "updated_at": "2026-03-01T12:00:00+00:00",
        "credentials_keys": ["access_key_id", "secret_access_key"],
    }
    assert http.get(f"{DESTINATIONS}/{answer.json()['id']}").json() == answer.json()
    assert http.get(DESTINATIONS).json() == [answer.json()]
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.parametrize("place", ["body", "config"])
def test_a_role_replaces_credentials(
    langsmith: LangSmithStandIn, http: httpx.Client, tmp_path: Path, place: str
) -> None:
    """A destination has either; it takes the role from both places of the documentation."""
    langsmith.add_bucket("lake", tmp_path)
    role = {"aws_role_arn": "arn:aws:iam::1:role/lake"}
    config = {**LAKE["config"], **(role if place == "config" else {})}  # type: ignore[dict-item]
    body = {**LAKE, "config": config, "credentials": None, **(role if place == "body" else {})}
    made = http.post(DESTINATIONS, json=body).json()
    assert (made["config"]["aws_role_arn"], made["credentials_keys"]) == (role["aws_role_arn"], [])
    path = f"{DESTINATIONS}/{made['id']}"
    changed = http.patch(path, json={"credentials": {**CREDENTIALS, "session_token": "secret"}}).json()
    assert changed["config"]["aws_role_arn"] is None
    assert changed["credentials_keys"] == ["access_key_id", "secret_access_key", "session_token"]
    changed = http.patch(path, json=role).json()
    assert (changed["config"]["aws_role_arn"], changed["credentials_keys"]) == (role["aws_role_arn"], [])


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"destination_type": "gcs"}, ["destination_type"]),
        ({"display_name": ""}, ["display_name"]),
        ({"display_name": "lake/1"}, ["display_name"]),
        ({"display_name": None}, ["display_name"]),
        ({"config": None}, ["config"]),
        ({"config": "lake"}, ["config"]),
        ({"config": {"bucket_name": "la"}}, ["config", "bucket_name"]),
        ({"config": {"bucket_name": "lake", "prefix": "x" * 2049}}, ["config", "prefix"]),
        ({"config": {"bucket": "lake"}}, ["config", "bucket"]),
        ({"credentials": {"access_key_id": "a"}}, ["credentials", "secret_access_key"]),
        ({"credentials": {**CREDENTIALS, "token": "a"}}, ["credentials", "token"]),
    ],
)
def test_an_invalid_field_of_a_destination_is_named(
    http: httpx.Client, fields: dict[str, Any], place: list[str]
) -> None:
    """It is 422, with the whole place."""
    status, loc, message = refusal_of(http.post(DESTINATIONS, json={**LAKE, **fields}))
    assert (status, loc) == (422, ["body", *place])
    assert message


def test_a_change_of_a_destination_has_credentials_or_a_role(bulk: BulkClient) -> None:
    """Both, none, and each other field are 422: bucket and prefix cannot change."""
    path = f"{DESTINATIONS}/{bulk.destination_id}"
    for body in ({}, {"credentials": CREDENTIALS, "aws_role_arn": "arn"}):
        assert refusal_of(bulk.http.patch(path, json=body))[:2] == (422, ["body"])
    assert refusal_of(bulk.http.patch(path, json={"display_name": "x"}))[:2] == (422, ["body", "display_name"])


def test_an_unknown_destination_is_refused(http: httpx.Client) -> None:
    """It is 404."""
    for answer in (http.get(f"{DESTINATIONS}/{UNKNOWN_ID}"), http.patch(f"{DESTINATIONS}/{UNKNOWN_ID}", json={})):
        assert (answer.status_code, answer.json()) == (404, {"detail": "Bulk export destination not found"})


def test_an_unknown_bucket_is_refused(http: httpx.Client) -> None:
    """The stand-in writes only to buckets that the test has added."""
    answer = http.post(DESTINATIONS, json=LAKE)
    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "Failed to validate S3 destination: Bucket is not valid"},
    )


def test_a_bucket_that_cannot_be_written_is_refused(
    langsmith: LangSmithStandIn, http: httpx.Client, bulk: BulkClient, tmp_path: Path
) -> None:
    """A destination is checked when it is created and when it changes: 400 with LangSmith's words."""
    (tmp_path / "file").touch()
    langsmith.add_bucket("other-lake", tmp_path / "file")
    bulk.bucket.rename(tmp_path / "lost")
    bulk.bucket.touch()
    config = {"bucket_name": "other-lake"}
    path = f"{DESTINATIONS}/{bulk.destination_id}"
    denied = {"detail": "Failed to validate S3 destination: Access Denied"}
    for answer in (
        http.post(DESTINATIONS, json={**LAKE, "config": config}),
        http.patch(path, json={"credentials": CREDENTIALS}),
    ):
        assert (answer.status_code, answer.json()) == (400, denied)
    assert http.get(path).json()["credentials_keys"] == []
    with pytest.raises(Refusal, match="Access Denied"):
        langsmith.add_bulk_destination(tmp_path / "file")


def test_an_export_to_a_bucket_that_was_closed_fails(bulk: BulkClient, tmp_path: Path) -> None:
    """LangSmith does not retry errors of the storage."""
    bulk.bucket.rename(tmp_path / "lost")
    bulk.bucket.touch()
    export_id = bulk.create()
    (run,) = bulk.runs(export_id)
    assert (bulk.status(export_id), run["status"], run["retry_number"]) == ("Failed", "Failed", 0)
    assert run["errors"] == {"retry_0": "Failed to write to the destination: Access Denied"}


def test_the_file_of_the_check_may_stay(langsmith: LangSmithStandIn, tmp_path: Path) -> None:
    """Without the permission to delete, LangSmith leaves a file below ``tmp`` in the prefix."""
    langsmith.bulk.leaves_tmp = True
    langsmith.add_bulk_destination(tmp_path)
    langsmith.add_bulk_destination(tmp_path, prefix="")
    assert len(list((tmp_path / "bulk/tmp").glob("*.txt"))) == len(list((tmp_path / "tmp").glob("*.txt"))) == 1


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({"prefix": "lang/smith/"}, "lake/lang/smith/"),
        ({"prefix": ""}, "lake/"),
        ({"include_bucket_in_prefix": False}, "bulk/"),
        ({"bucket_name": "pond", "prefix": "a"}, "pond/a/"),
    ],
)
def test_the_names_of_files_follow_the_destination(
    langsmith: LangSmithStandIn, bulk: BulkClient, tmp_path: Path, options: dict[str, Any], prefix: str
) -> None:
    """They begin with the bucket, unless the destination says otherwise, and with the prefix."""
    destination_id = langsmith.add_bulk_destination(tmp_path / "other", **options)
    export_id = bulk.create(bulk_export_destination_id=destination_id)
    (name,) = bulk.results(export_id)[0]["exported_files"]
    assert name.startswith(f"{prefix}export_id={export_id}/")
    bucket = options.get("bucket_name", "lake") + "/"
    assert (tmp_path / "other" / name.removeprefix(bucket)).is_file()


def test_a_bucket_may_be_in_object_storage(langsmith: LangSmithStandIn, bulk: BulkClient, tmp_path: Path) -> None:
    """The root may be each path that Airflow can write to."""
    root = ObjectStoragePath(f"file://{tmp_path}/object-store")
    export_id = bulk.create(bulk_export_destination_id=langsmith.add_bulk_destination(root))
    (name,) = bulk.results(export_id)[0]["exported_files"]
    assert (root / name.removeprefix("lake/")).read_bytes()[:4] == b"PAR1"


def test_the_other_layout(langsmith: LangSmithStandIn, bulk: BulkClient) -> None:
    """The documentation also has a folder ``runs`` below the project."""
    langsmith.bulk.layout = "runs"
    (name,) = bulk.results(bulk.create())[0]["exported_files"]
    assert f"/session_id={bulk.project_id}/runs/year=2026/month=2/day=28/" in name
