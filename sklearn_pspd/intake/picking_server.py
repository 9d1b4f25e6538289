"""The slice picker in the browser: one page, served to this computer only."""

import contextlib
import hmac
import json
import logging
import secrets
import threading
import time
import webbrowser
from getpass import getuser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

from isal import igzip

from sklearn_pspd.exceptions import InputError
from sklearn_pspd.loading.errors import ImageError

from .picking import PickingSession

HOST = "127.0.0.1"
MAX_BODY = 4096
# Seconds between the closing of the last page and the end; a page that is loaded again takes less.
CLOSE_SECONDS = 5.0
TICK_SECONDS = 0.2
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# What reading from or writing to a browser raises that is gone.
DISCONNECTIONS = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, TimeoutError)
_log = logging.getLogger(__name__)


def pick_slices(
    table,
    *,
    reader=None,
    replace=False,
    loader=None,
    port=0,
    open_browser=True,
    idle_minutes=30,
    on_ready=None,
    sep=None,
    encoding=None,
    decimal=".",
):
    """Let a reader pick the lesion's slice of each patient in the browser.

    One page is served to this computer only, under an address that contains a random token. It shows the axial slices
    of each patient as the loader reads them. Each pick is written at once, as :class:`PickingSession` describes. The
    function returns when the page is closed, when the reader has finished, or when nothing happens for a while.

    Parameters
    ----------
    table : path-like
        Cohort table as delimited text with ``patient_id`` and ``image``; it may lack everything else.
    reader : str, default=None
        Name or initials for the record; None takes the name of the user of this computer.
    replace : bool, default=False
        Whether positions that the table has already are replaced.
    loader : SliceStackLoader, default=None
        How images are read, and how many slices are shown around the picked one; None takes the loader's defaults.
    port : int, default=0
        Port of the server; 0 takes a free one.
    open_browser : bool, default=True
        Whether the page is opened in the browser of this computer.
    idle_minutes : float, default=30
        Time after which the server ends if the reader does nothing.
    on_ready : callable, default=None
        Called with the address of the page when it can be opened.
    sep, encoding : str, default=None
        As in :func:`~sklearn_pspd.cohort.read_cohort`.
    decimal : {".", ","}, default="."
        Decimal mark of the table.

    Returns
    -------
    DataFrame
        The record of picks, of all readers; see :func:`read_picks`.

    Raises
    ------
    FileNotFoundError
        If there is no such table.
    InputError
        If the table cannot be used, see :class:`PickingSession`.
    OSError
        If the port is in use.

    Notes
    -----
    Research software, not a medical device: pixels have eight bits, and screens are not calibrated.

    Examples
    --------
    A reader is played by a thread here, which finishes at once:

    >>> from tempfile import TemporaryDirectory
    >>> from threading import Thread
    >>> from urllib.request import Request, urlopen
    >>> from sklearn_pspd.datasets import make_cohort
    >>> from sklearn_pspd.intake import pick_slices
    >>> def finish(address):
    ...     urlopen(Request(f"{address}finish", b"{}", {"Content-Type": "application/json"}))
    >>> with TemporaryDirectory() as folder:
    ...     _ = make_cohort(folder, 6, matrix_px=(32,), n_native_slices=10, random_state=0)
    ...     picks = pick_slices(
    ...         f"{folder}/cohort.csv", reader="AB", open_browser=False,
    ...         on_ready=lambda address: Thread(target=finish, args=[address]).start()
    ...     )
    >>> len(picks)
    0
    """
    if not idle_minutes > 0:
        raise InputError(f"idle_minutes must be above 0; got {idle_minutes!r}")
    session = PickingSession(
        table,
        reader=getuser() if reader is None else reader,
        replace=replace,
        loader=loader,
        sep=sep,
        encoding=encoding,
        decimal=decimal,
    )
    with PickingServer(session, port=port, idle_seconds=60 * idle_minutes) as server:
        if on_ready is not None:
            on_ready(server.address)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=[server.address], daemon=True).start()
        server.serve()
    return session.picks()


class PickingServer(ThreadingHTTPServer):
    """Server of the page of one session."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, session, *, port=0, idle_seconds=1800.0):
        self.session = session
        self.idle_seconds = idle_seconds
        self.token = secrets.token_urlsafe(24)
        self.pages, self.closed_at, self.active_at = set(), None, time.monotonic()
        self._payloads = {}
        super().__init__((HOST, port), _Handler)

    @property
    def address(self):
        """Address of the page."""
        return f"http://{HOST}:{self.server_port}/{self.token}/"

    @property
    def hosts(self):
        """What a browser on this computer may name as the host; another name is a page of somebody else."""
        return {f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"}

    def serve(self):
        """Serve until the reader has finished, the page is closed, nothing happens, or it is interrupted."""
        threading.Thread(target=self._watch, daemon=True).start()
        # When it is interrupted, every pick has been written.
        with contextlib.suppress(KeyboardInterrupt):
            self.serve_forever(poll_interval=TICK_SECONDS)

    def finish(self):
        """End when the answer of the present request is out."""
        threading.Thread(target=self.shutdown, daemon=True).start()

    def note_page(self, page, is_open):
        """Count the pages that are open."""
        if is_open:
            self.pages.add(page)
            self.closed_at = None
        elif page in self.pages:
            self.pages.discard(page)
            if not self.pages:
                self.closed_at = time.monotonic()

    def payload(self, patient_id):
        """Return the pixels of a patient, compressed, and what the page has to know about them."""
        session = self.session
        volume = session.volume(patient_id)
        if patient_id not in self._payloads:
            self._payloads = dict(list(self._payloads.items())[-1:])
            self._payloads[patient_id] = igzip.compress(volume.pixels, 1)
        step = session.loader.slice_spacing_mm
        facts = {
            "shape": volume.pixels.shape,
            "spacing": [round(float(value), 5) for value in volume.spacing_mm],
            "z": [round(volume.first_z_mm, 3), round(volume.step_z_mm, 5)],
            "step": 1.0 if step is None else step / volume.spacing_mm[0],
            "table": session.table_slice(patient_id),
        }
        return self._payloads[patient_id], facts

    def _watch(self):
        while True:
            now = time.monotonic()
            is_closed = self.closed_at is not None and now - self.closed_at > CLOSE_SECONDS
            if is_closed or now - self.active_at > self.idle_seconds:
                self.shutdown()
                return
            time.sleep(TICK_SECONDS)


class _BrowserGoneError(Exception):
    """An answer could not be sent. It is no OSError, so that it is not taken for one of the table's file."""


class _Handler(BaseHTTPRequestHandler):
    """Requests of the page."""

    protocol_version = "HTTP/1.1"
    server_version = "pspd"
    sys_version = ""
    timeout = 120

    def handle(self):
        """Answer the requests of one connection, until it ends; a browser that is closed may break it off."""
        with contextlib.suppress(_BrowserGoneError, *DISCONNECTIONS):
            super().handle()

    def do_GET(self):
        """Answer with the page, the patients, or the pixels of one of them."""
        if (route := self._route()) is None:
            return
        if route == "":
            page = files(__package__).joinpath("picker.html").read_bytes()
            self._send(HTTPStatus.OK, page, "text/html; charset=utf-8")
        elif route == "session":
            self._answer(self._session)
        elif route.startswith("volume/") and route[7:].isascii() and route[7:].isdecimal() and len(route) < 16:
            self._answer(lambda: self._volume(int(route[7:])))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "no such page")

    def do_POST(self):
        """Write a pick, note that a page was opened or closed, or end."""
        if (route := self._route()) is None:
            return
        actions = {"pick": self._pick, "page": self._page, "finish": self._finish}
        if route not in actions:
            self._refuse(HTTPStatus.NOT_FOUND, "no such page")
        elif (body := self._body()) is not None:
            self._answer(lambda: actions[route](body))

    def log_message(self, *arguments):
        """Keep requests out of the terminal."""

    def _route(self):
        """Return the part of the path after the token; None after a refusal."""
        if self.headers.get("Host") not in self.server.hosts:
            return self._refuse(HTTPStatus.FORBIDDEN, "another host")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            return self._refuse(HTTPStatus.FORBIDDEN, "another origin")
        token, slash, route = self.path.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return self._refuse(HTTPStatus.FORBIDDEN, "the address is not complete; copy it from the terminal")
        return route

    def _body(self):
        """Return the object that was posted; None after a refusal."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "no length")
        if len(length) > 9 or int(length) > MAX_BODY:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        content = self.rfile.read(int(length))
        if self.headers.get_content_type() != "application/json":
            return self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "no JSON")
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return self._refuse(HTTPStatus.BAD_REQUEST, "no JSON object")
        return body

    def _session(self):
        self.server.active_at = time.monotonic()
        session = self.server.session
        return {
            "reader": session.reader,
            "table": session.path.name,
            "replace": session.replace,
            "n_slices": session.loader.n_slices,
            "patients": session.overview(),
        }

    def _volume(self, number):
        patients = self.server.session.patients
        if number >= len(patients):
            return self._refuse(HTTPStatus.NOT_FOUND, "no such patient")
        content, facts = self.server.payload(patients[number])
        encoding = {"Content-Encoding": "gzip", "X-Volume": json.dumps(facts)}
        return self._send(HTTPStatus.OK, content, "application/octet-stream", encoding)

    def _pick(self, body):
        session = self.server.session
        self.server.active_at = time.monotonic()
        patient = body.get("patient_id")
        if patient not in session.patients:
            return self._refuse(HTTPStatus.NOT_FOUND, "no such patient")
        if body.get("cannot_tell") is True:
            in_table = session.cannot_tell(patient)
        else:
            in_table = session.pick(patient, body.get("slice"))
        (state,) = [row for row in session.overview() if row["patient_id"] == patient]
        return {"written": in_table, "patient": state, "table_slice": session.table_slice(patient)}

    def _page(self, body):
        self.server.note_page(str(body.get("page")), body.get("open") is True)
        if body.get("open") is True:
            self.server.active_at = time.monotonic()
        return {}

    def _finish(self, body):  # noqa: ARG002  every action gets the object
        self.server.finish()
        return {}

    def _answer(self, action):
        """Send what an action returns, or why it failed; file names stay in the terminal."""
        try:
            answer = action()
        except ImageError as error:
            _log.warning("%s", error)
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, "This image cannot be read; the terminal says why.")
        except InputError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except OSError as error:
            _log.warning("%s", error)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"Nothing was written: {error.strerror or 'no such file'}.")
        else:
            if answer is not None:
                self._send(HTTPStatus.OK, json.dumps(answer).encode(), "application/json")

    def _refuse(self, status, reason):
        # What was sent may not have been read, so the connection cannot go on.
        self.close_connection = True
        self._send(status, json.dumps({"error": reason}).encode(), "application/json", {"Connection": "close"})

    def _send(self, status, content, kind, headers=None):
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        try:
            self.end_headers()
            self.wfile.write(content)
        except DISCONNECTIONS as error:
            raise _BrowserGoneError from error
