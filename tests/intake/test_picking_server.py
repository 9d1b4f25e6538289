"""The slice picker: what its server answers, and picks by keyboard in a browser."""

import gzip
import http.client
import json
import socket
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from headless_browser import Browser, find_chromium

from sklearn_pspd import make_cohort, read_cohort
from sklearn_pspd.intake import PickingSession, pick_slices, picking_server, read_picks
from sklearn_pspd.loading import SliceStackLoader

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("images"), 6, matrix_px=(128,), n_native_slices=14, random_state=0)[:3]


@pytest.fixture
def table(cohort, tmp_path):
    cohort.drop(columns="lesion_slice").to_csv(tmp_path / "cohort.csv", index=False)
    return tmp_path / "cohort.csv"


class Running:
    """The picker in a thread, and requests to it."""

    def __init__(self, table, **options):
        self.ready, self.picks = threading.Event(), None
        options = {"reader": "AB", "open_browser": False, "on_ready": self._begin, **options}
        self.thread = threading.Thread(target=self._run, args=[table, options], daemon=True)
        self.thread.start()
        assert self.ready.wait(30)

    def _begin(self, address):
        self.address, parts = address, urlsplit(address)
        self.host, self.token = parts.netloc, parts.path.strip("/")
        self.ready.set()

    def _run(self, table, options):
        self.picks = pick_slices(table, **options)

    def request(self, method, path, body=None, headers=None, *, host=None):
        """Return status, headers and content; the path goes out as it is."""
        connection = http.client.HTTPConnection(self.host, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": host or self.host, **(headers or {})}
        if body is not None and "Content-Length" not in sent:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def get(self, route, **options):
        return self.request("GET", f"/{self.token}/{route}", **options)

    def post(self, route, value, **options):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.request("POST", f"/{self.token}/{route}", body, JSON, **options)

    def finish(self):
        self.post("finish", {})
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def running(table):
    running = Running(table)
    yield running
    if running.thread.is_alive():
        running.finish()


def test_page_and_session(running, cohort):
    status, headers, content = running.get("")
    assert status == 200
    assert b"Research software, not a medical device" in content
    assert b"//" not in content.split(b"<body>")[0].replace(b"http://www.w3.org", b"")  # nothing from elsewhere
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    session = json.loads(running.get("session")[2])
    assert [row["patient_id"] for row in session.pop("patients")] == cohort["patient_id"].tolist()
    assert session == {"reader": "AB", "table": "cohort.csv", "replace": False, "n_slices": 9}


def test_only_the_loopback_interface_is_served(table):
    session = PickingSession(table, reader="AB")
    with picking_server.PickingServer(session) as server:
        assert server.server_address[0] == "127.0.0.1"
        with picking_server.PickingServer(session) as other:
            assert other.token != server.token
            assert len(other.token) >= 32


def test_without_the_token_nothing_is_answered(running):
    token = running.token
    for path in (
        "/",
        "/session",
        f"/{token[:-1]}/session",
        f"/{token}x/session",
        f"/{token}",
        f"/x/{token}/",
        "/%C3%A9/",
    ):
        status, _, content = running.request("GET", path)
        assert status == 403, path
        assert b"patient" not in content
    assert running.request("POST", "/pick", b"{}", JSON)[0] == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_another_host_is_refused(running, host):
    """A page of somebody else whose name is made to point here cannot read or write anything."""
    port = running.host.split(":")[1]
    status, _, content = running.get("session", host=host.format(port=port) or " ")
    assert status == 403
    assert b"patient" not in content
    assert running.get("session", host=f"localhost:{port}")[0] == 200


def test_another_origin_is_refused(running, table):
    before = table.read_bytes()
    body = json.dumps({"patient_id": "x", "slice": 3}).encode()
    for origin in ("http://evil.example", "null", f"https://{running.host}"):
        status, _, _ = running.request("POST", f"/{running.token}/pick", body, {**JSON, "Origin": origin})
        assert status == 403
    own = {**JSON, "Origin": f"http://{running.host}"}
    assert running.request("POST", f"/{running.token}/page", b"{}", own)[0] == 200
    # What a form of another page could send without asking.
    form = {"Content-Type": "text/plain"}
    assert running.request("POST", f"/{running.token}/pick", body, form)[0] == 415
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    "route",
    [
        "../../etc/passwd", "..%2f..%2fetc/passwd", "volume/../../x", "volume/-1", "volume/1.0", "volume/",
        "volume/%C2%B3", "volume/99", "volume/9999999999999999999999", "picker.html", "volume/0/", "session?x", "pick",
    ],
)  # fmt: skip
def test_paths_lead_nowhere_else(running, route):
    status, _, content = running.get(route)
    assert status == 404
    assert b"root:" not in content


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"[" * 4000, JSON, 400),
        (b"{}", JSON, 404),
        (b'{"patient_id": ["x"]}', JSON, 404),
        (b'{"patient_id": "unknown", "slice": 3}', JSON, 404),
        (b" " * 5000, JSON, 413),
        (b"", {**JSON, "Content-Length": "99999999999999999999"}, 413),
        (b"", {**JSON, "Content-Length": "-1"}, 411),
        (b"", {**JSON, "Content-Length": "²"}, 411),
    ],
)
def test_what_is_no_pick_is_refused(running, table, body, headers, status):
    before = table.read_bytes()
    assert running.request("POST", f"/{running.token}/pick", body, headers)[0] == status
    assert running.get("session")[0] == 200
    assert table.read_bytes() == before


@pytest.mark.parametrize("index", [-1, 14, 2.5, "3", True, None, [], {}, 1e400])
def test_a_slice_that_is_not_there_is_refused(running, table, cohort, index):
    before = table.read_bytes()
    status, _, content = running.post("pick", {"patient_id": cohort["patient_id"].iloc[0], "slice": index})
    assert status == 422
    assert "whole number from 0 to 13" in json.loads(content)["error"]
    assert table.read_bytes() == before


def test_pixels_are_those_of_the_loader(running, cohort):
    for number, row in enumerate(cohort.to_dict("records")):
        status, headers, content = running.get(f"volume/{number}")
        assert (status, headers["Content-Encoding"]) == (200, "gzip")
        facts = json.loads(headers["X-Volume"])
        pixels = np.frombuffer(gzip.decompress(content), np.uint8).reshape(facts["shape"])
        loader = SliceStackLoader(n_slices=3)
        (stack,) = loader.transform(pd.DataFrame([row]))
        shown = pixels[[int(index) for index in stack.slice_indices]].astype(float)
        inside = (shown > 0) & (shown < 255)
        assert np.corrcoef(shown[inside], stack.pixels[inside])[0, 1] > 0.999
        assert facts["spacing"] == pytest.approx([stack.slice_spacing_mm, *stack.spacing_mm], abs=1e-4)
        assert facts["table"] is None


def test_picks_arrive_in_the_table(running, table, cohort):
    first, second, third = cohort["patient_id"]
    answer = json.loads(running.post("pick", {"patient_id": first, "slice": 6})[2])
    state = {"patient_id": first, "own": 6, "in_table": True, "readers": []}
    assert answer == {"written": True, "patient": state, "table_slice": 6}
    answer = json.loads(running.post("pick", {"patient_id": second, "cannot_tell": True})[2])
    assert (answer["written"], answer["patient"]["own"]) == (False, "cannot tell")
    running.finish()
    assert running.picks["lesion_slice"].tolist() == [6, pd.NA]
    found = pd.read_csv(table, index_col="patient_id")["lesion_slice"]
    assert found[first] == 6
    assert found[[second, third]].isna().all()


def test_many_requests_at_once(running, table, cohort):
    picks = [(patient, index) for index in range(4, 9) for patient in cohort["patient_id"]]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda p: running.post("pick", {"patient_id": p[0], "slice": p[1]})[0], picks))
    assert set(statuses) == {200}
    record = read_picks(table.with_suffix(".picks.csv"))
    assert sorted(zip(record["patient_id"], record["lesion_slice"], strict=True)) == sorted(picks)
    last = record.groupby("patient_id")["lesion_slice"].last()
    assert pd.read_csv(table, index_col="patient_id")["lesion_slice"].to_dict() == last.to_dict()


def test_an_image_that_cannot_be_read_is_said_without_its_path(table, cohort, tmp_path, caplog):
    hidden = tmp_path / "Mustermann_Erika.nii.gz"
    hidden.write_bytes(b"no image")
    broken = pd.read_csv(table)
    broken.loc[0, "image"] = str(hidden)
    broken.to_csv(table, index=False)
    running = Running(table)
    status, _, content = running.get("volume/0")
    assert status == 422
    assert b"Mustermann" not in content
    assert "Mustermann" in caplog.text
    assert running.post("pick", {"patient_id": cohort["patient_id"].iloc[0], "slice": 3})[0] == 422
    assert running.get("volume/1")[0] == 200
    table.unlink()
    assert running.get("session")[0] == 500
    running.post("finish", {})
    running.thread.join(30)


@pytest.fixture
def ended(monkeypatch):
    """Errors that reach the terminal, and a semaphore that counts the connections that have ended."""
    errors, connections = [], threading.Semaphore(0)
    server, end = picking_server.PickingServer, picking_server.PickingServer.shutdown_request

    def shutdown_request(self, request):
        end(self, request)
        connections.release()

    monkeypatch.setattr(server, "handle_error", lambda self, *_: errors.append(sys.exc_info()[1]))
    monkeypatch.setattr(server, "shutdown_request", shutdown_request)
    return errors, connections


def break_off(running, sent, answer=0):
    """Send bytes, read so many of the answer, and reset the connection as a browser does that is closed."""
    host, port = running.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as browser:
        browser.sendall(sent)
        while answer > 0:
            answer -= len(browser.recv(answer))
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("line", "rest", "answer"),
    [
        ("", "", 0),
        ("GET /", "", 0),
        ("GET /{token}/session HTTP/1.1\r\nHost: {host}\r\n", "", 0),
        # Between two requests of one connection.
        ("GET /{token}/session HTTP/1.1\r\nHost: {host}\r\n\r\n", "", 20),
        ("POST /{token}/pick HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\n", '{"patient_id"', 0),
        ("GET /{token}/volume/0 HTTP/1.1\r\nHost: {host}\r\n\r\n", "", 0),
        ("GET /{token}/nothing HTTP/1.1\r\nHost: {host}\r\n\r\n", "", 0),
    ],
)
def test_a_browser_that_breaks_off_leaves_no_traceback(ended, running, line, rest, answer):
    errors, connections = ended
    break_off(running, (line.format(token=running.token, host=running.host) + rest).encode(), answer)
    assert connections.acquire(timeout=30)
    assert errors == []
    assert running.get("session")[0] == 200


@pytest.mark.parametrize("error", [ConnectionResetError, ConnectionAbortedError, BrokenPipeError, TimeoutError])
def test_an_answer_that_cannot_be_sent_is_no_error_of_the_table(ended, running, monkeypatch, caplog, error):
    errors, connections = ended

    def write(_self, _content):
        raise error

    monkeypatch.setattr("socketserver._SocketWriter.write", write)
    break_off(running, f"GET /{running.token}/volume/0 HTTP/1.1\r\nHost: {running.host}\r\n\r\n".encode())
    assert connections.acquire(timeout=30)
    monkeypatch.undo()
    assert (errors, caplog.text) == ([], "")


@pytest.mark.parametrize("error", [TimeoutError, ConnectionResetError])
def test_a_share_that_is_gone_is_said(ended, running, monkeypatch, cohort, error):
    """A table on a network drive may raise what a browser raises that is gone; the reader must know."""

    def save(_self):
        raise error(110, "the share is gone")

    monkeypatch.setattr("sklearn_pspd.cohort.cell_writing.EditableTable.save", save)
    status, _, content = running.post("pick", {"patient_id": cohort["patient_id"].iloc[0], "slice": 6})
    assert status == 500
    assert json.loads(content)["error"] == "Nothing was written: the share is gone."
    assert ended[0] == []


def test_a_defect_is_still_reported(ended, running, monkeypatch):
    def overview(_self):
        raise RuntimeError("a defect")

    monkeypatch.setattr(PickingSession, "overview", overview)
    with pytest.raises(http.client.RemoteDisconnected):
        running.get("session")
    assert [str(error) for error in ended[0]] == ["a defect"]


def test_it_ends_when_the_last_page_is_closed(table, monkeypatch):
    monkeypatch.setattr(picking_server, "CLOSE_SECONDS", 0.6)
    running = Running(table)
    for page in ("a", "b"):
        running.post("page", {"page": page, "open": True})
    running.post("page", {"page": "a", "open": False})
    running.thread.join(1.2)
    assert running.thread.is_alive()
    # A page that is loaded again.
    running.post("page", {"page": "b", "open": False})
    running.post("page", {"page": "c", "open": True})
    running.thread.join(1.2)
    assert running.thread.is_alive()
    running.post("page", {"page": "c", "open": False})
    running.thread.join(10)
    assert not running.thread.is_alive()


def test_it_ends_when_nothing_happens(table):
    started = time.monotonic()
    running = Running(table, idle_minutes=0.01)
    running.thread.join(20)
    assert not running.thread.is_alive()
    assert time.monotonic() - started >= 0.6
    assert len(running.picks) == 0


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
def test_a_reader_picks_by_keyboard(table, cohort, tmp_path):
    pytest.importorskip("websocket")
    truth = dict(zip(cohort["patient_id"], cohort["lesion_slice"], strict=True))
    running = Running(table)
    with Browser(tmp_path / "profile") as browser:
        browser.open(running.address)
        for patient, index in truth.items():
            browser.wait_for(f"document.body && document.body.dataset.patient === '{patient}'")
            browser.wait_for("document.body.dataset.ready === 'yes'")
            assert browser.value("Number(document.body.dataset.slice)") == 7
            browser.press("Home")
            browser.press("ArrowUp", times=index)
            assert browser.value("Number(document.body.dataset.slice)") == index
            browser.press("Enter")
            browser.wait_for(f"document.body.dataset.saved === '{patient} {index}'")
            browser.press("u")
        assert "3 of 3" in browser.value("document.getElementById('progress').textContent")
        # Nothing of the page comes from, or goes to, anywhere else.
        names = browser.value("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert names
        assert all(name.startswith((running.address, "data:")) for name in names)
        # The window, the keys at the ends, and a reader who thinks again.
        grey = "document.getElementById('grey').textContent"
        before = browser.value(grey)
        browser.press(".", times=2)
        browser.wait_for(f"{grey} !== '{before}'")
        browser.press("End")
        browser.press("ArrowUp")
        assert browser.value("Number(document.body.dataset.slice)") == 13
        browser.wait_for("document.querySelectorAll('#preview .outside').length === 4")
        browser.press("c")
        last = list(truth)[-1]
        browser.wait_for(f"document.body.dataset.saved === '{last} cannot tell'")
        assert pd.read_csv(table, index_col="patient_id")["lesion_slice"].isna()[last]
        browser.press("g")
        browser.press("Home")
        browser.press("PageUp")
        browser.press("ArrowDown", times=10 - truth[last])
        browser.press("Enter")
        browser.wait_for(f"document.body.dataset.saved === '{last} {truth[last]}'")
        # In a narrow window everything fits, and a slice can be picked without scrolling, wherever the page is.
        box = "document.getElementById('pick').getBoundingClientRect()"
        for width, height in ((700, 1000), (390, 844), (390, 560), (844, 390)):
            browser.resize(width, height)
            browser.wait_for(f"innerWidth === {width}")
            assert browser.value("document.documentElement.scrollWidth <= innerWidth")
            browser.value("scrollTo(0, 0)")
            assert browser.value(f"{box}.top >= 0 && {box}.bottom <= innerHeight"), (width, height)
            browser.value("document.getElementById('preview').scrollIntoView()")
            assert browser.value(f"document.elementFromPoint({box}.left + 9, {box}.top + 9).id === 'pick'"), width
        browser.value("document.getElementById('finish').click()")
        browser.wait_for("document.getElementById('over').textContent.startsWith('Finished')")
    running.thread.join(30)
    assert not running.thread.is_alive()
    assert read_cohort(table).set_index("patient_id")["lesion_slice"].to_dict() == truth
    assert running.picks["in_table"].all()


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed")
def test_closing_the_page_ends_the_program(table, tmp_path, monkeypatch):
    pytest.importorskip("websocket")
    monkeypatch.setattr(picking_server, "CLOSE_SECONDS", 1.0)
    running = Running(table)
    with Browser(tmp_path / "profile") as browser:
        browser.open(running.address)
        browser.wait_for("document.body && document.body.dataset.ready === 'yes'")
        browser.open("about:blank")
        running.thread.join(20)
    assert not running.thread.is_alive()
