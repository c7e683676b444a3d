"""The endpoints: who may ask, what is refused, and what the states of a job look like."""

import io
import json
import re
import time
import zipfile

import pytest
from served import TOKEN, UPLOAD, WAIT, Server

from autoseg.serving import jobs as jobs_module
from autoseg.serving.settings import Reason
from autoseg.serving.worker import Outcome


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path / "jobs")


def zipped(entries, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return {"files": ("a.zip", buffer.getvalue())}


@pytest.mark.parametrize("path", ["/v1/model", "/v1/jobs/x", "/metrics", "/v1/nothing"])
@pytest.mark.parametrize("given", ["", "Bearer wrong", f"Basic {TOKEN}", "Bearer \u00e4"])
def test_a_request_without_the_token_is_refused(server, path, given):
    answer = server.client.get(path, headers={"authorization": given.encode("utf-8")})
    assert answer.status_code == 401
    assert "Bearer TOKEN" in answer.json()["detail"]


def test_health_needs_no_token_and_tells_when_no_jobs_are_taken(server):
    server.client.headers.pop("authorization")
    assert server.client.get("/health").json() == {"ready": True, "queued": 0, "running": False}
    assert server.client.get("/health/ready").status_code == 200
    server.jobs.request_stop()
    assert server.client.get("/health").status_code == 200
    assert server.client.get("/health/ready").status_code == 503


def test_waiting_answers_with_the_label_map(server):
    answer = server.upload("?wait=true")
    assert (answer.status_code, answer.content) == (200, b"voxels")
    assert answer.headers["content-type"] == "application/gzip"


def test_a_job_has_states_and_results(server):
    server.engine.gate.clear()
    first = server.upload("?statistics=true&preview=true&format=nrrd")
    assert first.status_code == 202
    place = first.headers["location"]
    assert server.engine.began.wait(5)
    second = server.upload().json()
    assert (second["state"], second["position"]) == ("queued", 1)
    running = server.client.get(place).json()
    assert (running["state"], running["progress"]) == ("running", "tile 1 of 2")
    early = server.client.get(f"{place}/label-map")
    assert (early.status_code, early.headers["retry-after"]) == (409, "1")
    server.engine.gate.set()
    done = server.ended(running["id"])
    assert done["results"] == ["label-map", "statistics", "preview"]
    assert done["warnings"] == ["the voxels are larger"]
    label_map = server.client.get(f"{place}/label-map")
    assert label_map.content == b"voxels"
    assert 'filename="case.nrrd"' in label_map.headers["content-disposition"]
    assert server.client.get(f"{place}/statistics").json() == {"volume": 3}
    assert server.client.get(f"{place}/preview").headers["content-type"] == "image/png"


def test_a_result_that_was_not_requested_names_the_parameter(server):
    identity = server.upload().json()["id"]
    server.ended(identity)
    answer = server.client.get(f"/v1/jobs/{identity}/preview")
    assert answer.status_code == 404
    assert "?preview=true" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("reason", "status"), [(Reason.IMAGE, 422), (Reason.TIME, 504), (Reason.CRASH, 500)]
)
def test_a_failed_job_answers_with_its_sentence_without_paths(server, reason, status):
    server.engine.outcome = Outcome(reason=reason, message=f"{server.folder}/a.nii is damaged")
    answer = server.upload("?wait=true")
    assert (answer.status_code, answer.json()) == (status, {"detail": "a.nii is damaged"})


@pytest.mark.parametrize(
    ("files", "status", "sentence"),
    [
        ({"files": ("a.txt", b"text")}, 422, "is not a known image file"),
        ({"other": ("a.nii", b"text")}, 422, "has no file"),
        ({"files": ("a.zip", b"no zip")}, 422, "damaged"),
        (zipped([("../../a.nii", b"x")]), 422, "leads out of its folder"),
        (zipped([("/etc/a.nii", b"x")]), 422, "leads out of its folder"),
        (zipped([("..\\a.nii", b"x")]), 422, "leads out of its folder"),
        (zipped([]), 422, "is empty"),
        (zipped([("a", b"x"), ("a/b", b"x")]), 422, "the name of a file"),
        (zipped([("a.nii", b""), ("A.nii", b"")]), 422, "a name twice"),
        (zipped([(f"{number}.nii", b"") for number in range(9)]), 413, "9 entries"),
        (zipped([("a.nii", bytes(3_000_000))]), 413, "3 MB"),
        ({"files": (".nii.gz", b"x")}, 422, "hidden name"),
    ],
)
def test_a_bad_upload_is_refused_with_a_sentence(tmp_path, files, status, sentence):
    server = Server(tmp_path / "jobs", entries=8, unpacked_bytes=2_000_000)
    answer = server.upload("?wait=true", files)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert list(server.folder.iterdir()) == []
    assert not list(tmp_path.rglob("*.nii"))


def test_a_link_in_a_zip_file_is_refused(server):
    link = zipfile.ZipInfo("a.nii")
    link.external_attr = 0o120777 << 16
    answer = server.upload("?wait=true", zipped([(link, "/etc/passwd")]))
    assert answer.status_code == 422
    assert "link" in answer.json()["detail"]


def test_a_zip_file_that_lists_less_than_it_holds_is_refused(tmp_path):
    server = Server(tmp_path / "jobs", unpacked_bytes=1_000_000)
    content = zipped([("a.nii", bytes(3_000_000))])["files"][1]
    lying = content.replace((3_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    answer = server.upload("?wait=true", {"files": ("a.zip", lying)})
    assert answer.status_code in (413, 422)
    assert list(server.folder.iterdir()) == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_upload_above_the_limit_is_refused(tmp_path, is_chunked):
    server = Server(tmp_path / "jobs", upload_bytes=10_000)
    kind = {"content-type": "multipart/form-data; boundary=x"}
    start = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n'
    parts = [start, bytes(20_000), b"\r\n--x--\r\n"]
    content = iter(parts) if is_chunked else b"".join(parts)
    answer = server.client.post("/v1/jobs", content=content, headers=kind)
    assert answer.status_code == 413
    assert "0.01 MB" in answer.json()["detail"]
    assert list(server.folder.glob("*")) == []


def test_a_full_queue_tells_when_to_try_again(tmp_path):
    server = Server(tmp_path / "jobs", queue=1)
    server.engine.gate.clear()
    server.upload()
    assert server.engine.began.wait(5)
    assert server.upload().status_code == 202
    full = server.upload()
    assert full.status_code == 503
    assert int(full.headers["retry-after"]) >= 1
    server.engine.gate.set()


def test_a_refused_upload_gives_its_place_in_the_queue_back(tmp_path):
    server = Server(tmp_path / "jobs", queue=1)
    for _ in range(3):
        assert server.upload("", {"files": ("a.txt", b"")}).status_code == 422
    assert server.upload().status_code == 202


def test_deleting_cancels_a_running_and_a_waiting_job(server):
    server.engine.gate.clear()
    running = server.upload().json()["id"]
    assert server.engine.began.wait(5)
    waiting = server.upload().json()["id"]
    for identity in (waiting, running):
        assert server.client.delete(f"/v1/jobs/{identity}").status_code == 204
        assert server.client.get(f"/v1/jobs/{identity}").status_code == 404
    for _ in range(500):
        if not list(server.folder.iterdir()):
            break
        time.sleep(0.01)
    assert list(server.folder.iterdir()) == []
    assert len(server.engine.paths) == 1


def test_a_job_that_takes_too_long_fails(tmp_path):
    server = Server(tmp_path / "jobs", job_seconds=0.1)
    server.engine.gate.clear()
    answer = server.upload("?wait=true")
    assert answer.status_code == 504
    assert "--max-seconds" in answer.json()["detail"]


def test_results_expire(tmp_path):
    server = Server(tmp_path / "jobs", keep_seconds=0.3)
    place = server.upload("?wait=true").headers["location"]
    time.sleep(0.8)
    assert server.client.get(place).status_code == 404
    assert list(server.folder.iterdir()) == []


def test_the_uploaded_image_is_deleted_when_its_job_ends(server):
    server.upload("?wait=true")
    assert not list(server.folder.rglob("patient*"))


def test_stopping_fails_waiting_jobs_and_finishes_the_running_one(server, monkeypatch):
    monkeypatch.setattr(jobs_module, "FETCH_SECONDS", 60.0)
    server.engine.gate.clear()
    running = server.upload().json()["id"]
    assert server.engine.began.wait(5)
    waiting = server.upload().json()["id"]
    server.jobs.request_stop()
    assert server.upload().status_code == 503
    assert server.state(waiting)["reason"] == "stopped"
    assert not server.jobs.is_idle
    server.engine.gate.set()
    assert server.ended(running)["state"] == "done"
    assert not server.jobs.is_idle  # its result was not fetched
    assert server.client.get(f"/v1/jobs/{running}/label-map").status_code == 200
    assert server.jobs.is_idle


def test_stopping_twice_ends_the_running_job(server):
    server.engine.gate.clear()
    running = server.upload().json()["id"]
    assert server.engine.began.wait(5)
    server.jobs.request_stop()
    server.jobs.request_stop()
    assert server.ended(running)["reason"] == "stopped"


def path_request(server, *paths):
    return server.client.post(WAIT, json={"path": list(paths) if len(paths) > 1 else paths[0]})


def test_paths_are_refused_unless_a_folder_is_allowed(server):
    answer = path_request(server, "a.nii")
    assert answer.status_code == 422
    assert "--allow-root" in answer.json()["detail"]


def test_a_path_below_the_allowed_folder_is_segmented_and_kept(tmp_path):
    root = tmp_path / "root"
    (root / "scans").mkdir(parents=True)
    (root / "scans" / "a.nii").write_bytes(b"from disk")
    server = Server(tmp_path / "jobs", root)
    assert path_request(server, "scans/a.nii").content == b"from disk"
    assert (root / "scans" / "a.nii").exists()


@pytest.mark.parametrize("path", ["../secret.nii", "link.nii", "/etc/passwd", "folder/secret.nii"])
def test_a_path_outside_of_the_allowed_folder_is_refused(tmp_path, path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    for folder in (tmp_path, tmp_path / "outside"):
        (folder / "secret.nii").write_bytes(b"secret")
    (root / "link.nii").symlink_to(tmp_path / "secret.nii")
    (root / "folder").symlink_to(tmp_path / "outside")
    answer = path_request(Server(tmp_path / "jobs", root), path)
    assert answer.status_code == 422
    assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("query", ["?format=jpg", "?format=exe", "?wait=perhaps"])
def test_a_wrong_parameter_is_refused_with_a_sentence(server, query):
    answer = server.upload(query)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


def test_another_kind_of_body_is_refused(server):
    answer = server.client.post("/v1/jobs", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    answer = server.client.post("/v1/jobs", json={"paths": "x"})
    assert answer.status_code == 422


def test_the_model_is_described(server):
    assert server.client.get("/v1/model").json()["labels"] == [{"name": "liver", "value": 7}]


def test_metrics_count_requests_jobs_and_failures(server):
    server.upload("?wait=true")
    server.engine.outcome = Outcome(reason=Reason.IMAGE, message="damaged")
    server.upload("?wait=true")
    text = server.client.get("/metrics").text
    for line in (
        'autoseg_requests_total{method="POST",route="/v1/jobs",status="200"} 1.0',
        'autoseg_requests_total{method="POST",route="/v1/jobs",status="422"} 1.0',
        'autoseg_job_failures_total{reason="image"} 1.0',
        "autoseg_queue_length 0.0",
        "autoseg_job_seconds_count 2.0",
    ):
        assert line in text


def test_the_log_has_the_request_but_no_names(server):
    headers = {"x-request-id": "ward-7"}
    answer = server.client.post(WAIT, files=UPLOAD, headers=headers)
    assert answer.headers["x-request-id"] == "ward-7"
    assert re.fullmatch(r"ward-7 POST /v1/jobs 200 \d+\.\d{3} s", server.lines[-1])
    odd = server.client.get("/v1/model", headers={"x-request-id": "a b\tc"})
    assert re.fullmatch(r"[0-9a-f]{16}", odd.headers["x-request-id"])
    assert "patient" not in "".join(server.lines)


def test_the_page_loads_nothing_from_elsewhere(server):
    page = server.client.get("/").text
    assert "POST /v1/jobs" in page
    assert "http" not in page.replace("autoseg serve", "")
    schema = server.client.get("/openapi.json").json()
    assert schema["paths"]["/v1/jobs"]["post"]["security"] == [{"token": []}]
    assert "http" not in json.dumps(schema).replace('"type": "http"', "")
    for path in ("/docs", "/redoc"):
        assert server.client.get(path).status_code == 404
