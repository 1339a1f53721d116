"""The server of the labelling page: to browsers that have the token, by default of this machine."""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from shoestring.artifact.errors import missing
from shoestring.label.collect.answer import AnswerError
from shoestring.label.collect.project import Project

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 8_000_000
"""Of a request: a page sends a hundred answers at most."""
TOKEN = "x-shoestring-token"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_MARKS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
}
"""How the pictures begin that every browser shows; others are turned into PNG."""

Handler = Callable[["Request"], Awaitable["Response"]]


def check_installed() -> None:
    """Raise ModuleNotFoundError, which names the extra, where the server's packages are absent."""
    try:
        import starlette
        import uvicorn  # noqa: F401
    except ModuleNotFoundError:
        raise missing("starlette", "uvicorn", extra="label", what="the labelling page") from None
    del starlette


def page() -> str:
    """The page: one file with its style and its script, built from `web/label`."""
    return (
        resources.files("shoestring.label.collect")
        .joinpath("page.html")
        .read_text(encoding="utf-8")
    )


def listening(host: str, port: int | None, last: int | None = None) -> socket.socket:
    """A socket that listens.

    `port`: None for the one that the project had last, where it is free, and else any.

    Raises OSError for a port that is taken or a host that is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    wanted = [port] if port is not None else [last or 0, 0]
    for number in wanted:
        # Named, since asyncio sends at once (TCP_NODELAY) only where the protocol is known.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host, number))
            made.listen(128)
            return made
        except (OSError, OverflowError) as error:
            made.close()
            if number == wanted[-1]:
                raise OSError(
                    f"cannot listen on port {number} of {host} ({error}): name another with "
                    "--port, or leave --port out for a free one"
                ) from error
    raise AssertionError("the last port listens or raises")


@final
class Pages:
    """Answers the requests of the page of a project.

    Every request needs the token, and the name of this machine and its port as Host, so that a page
    of another site gets nothing, even where its name is resolved to this machine.

    `root`: pictures outside this folder are not shown; None for no limit.
    `hosts`: names in the Host header, with the port, that are let in.
    """

    def __init__(self, project: Project, root: Path | None, hosts: set[str]) -> None:
        self.project, self.root, self.hosts = project, root, hosts
        self._page = page()
        found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', self._page)
        assert found is not None
        self.policy = f"{found[1]}; frame-ancestors 'none'"

    def app(self) -> Any:
        """The ASGI application."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        project = self.project
        posts: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "/api/next": project.next,
            "/api/answers": project.take,
            "/api/release": project.release,
            "/api/names": project.add_name,
            "/api/open": project.open,
            "/api/deliver": lambda asked: project.deliver(),
        }
        gets: dict[str, Callable[[], Any]] = {
            "/api/project": project.about,
            "/api/status": project.status,
        }
        routes = [
            Route("/", self._guarded(self._home), methods=["GET"]),
            Route("/api/picture/{at:int}", self._guarded(self._picture), methods=["GET"]),
            *(
                Route(at, self._guarded(self._post(call)), methods=["POST"])
                for at, call in posts.items()
            ),
            *(
                Route(at, self._guarded(self._get(call)), methods=["GET"])
                for at, call in gets.items()
            ),
        ]
        return Starlette(routes=routes)

    def _guarded(self, handler: Handler) -> Handler:
        from starlette.responses import PlainTextResponse

        async def guarded(request: Request) -> Response:
            hosts = request.headers.getlist("host")
            token = request.headers.get(TOKEN) or request.query_params.get("token", "")
            right = hmac.compare_digest(token.encode(), self.project.store.token.encode())
            if len(hosts) != 1 or hosts[0] not in self.hosts:
                answer = PlainTextResponse("This page is not for that name.\n", 403)
            elif not right:
                answer = PlainTextResponse(
                    "The address lacks its token: take the whole line that the command printed.\n",
                    403,
                )
            else:
                answer = await handler(request)
            answer.headers.update(_HEADERS)
            answer.headers["Content-Security-Policy"] = self.policy
            return answer

        return guarded

    async def _home(self, request: Request) -> Response:
        from starlette.responses import HTMLResponse

        return HTMLResponse(self._page)

    def _get(self, call: Callable[[], Any]) -> Handler:
        async def handler(request: Request) -> Response:
            return await _answered(call)

        return handler

    def _post(self, call: Callable[[Mapping[str, Any]], Any]) -> Handler:
        from starlette.responses import JSONResponse

        async def handler(request: Request) -> Response:
            # A form of another site cannot send this type without asking first.
            if request.headers.get("content-type", "").split(";")[0] != "application/json":
                return JSONResponse({"error": "requests are JSON"}, 415)
            body = bytearray()
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    return JSONResponse({"error": "the request is too long"}, 413)
            try:
                asked = json.loads(bytes(body))
            except (ValueError, RecursionError):
                return JSONResponse({"error": "requests are JSON"}, 400)
            if not isinstance(asked, dict):
                return JSONResponse({"error": "requests are JSON objects"}, 400)
            return await _answered(lambda: call(asked))

        return handler

    async def _picture(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse, Response

        try:
            path = self.project.picture(request.path_params["at"])
            data, kind = await run_in_threadpool(picture, path, self.root)
        except (OSError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 404)
        return Response(data, media_type=kind)


async def _answered(call: Callable[[], Any]) -> Response:
    """What a call returns, as JSON; its errors as a sentence with a status."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse

    try:
        return JSONResponse(await run_in_threadpool(call))
    except AnswerError as error:
        return JSONResponse({"error": str(error)}, 400)
    except (OSError, ValueError) as error:
        sentence = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return JSONResponse({"error": sentence}, 507)


def picture(path: Path | None, root: Path | None) -> tuple[bytes, str]:
    """The bytes of a picture that a browser shows, and their type.

    What is neither PNG, JPEG, GIF, WebP nor BMP is opened by Pillow, where it is installed, and
    turned into PNG. Raises OSError or ValueError, in a sentence, for what is no picture, and for
    one outside the root.
    """
    if path is None:
        raise ValueError("this example has no picture")
    if root is not None and not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{path.name} is outside the folder of the source: it is not shown")
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path.name} is no regular file: it is not shown")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OSError(f"{path.name} cannot be opened: {(error.strerror or '').lower()}") from error
    known = next((kind for mark, kind in _MARKS.items() if data.startswith(mark)), None)
    if known is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        known = "image/webp"
    return (data, known) if known is not None else (_as_png(data, path.name), "image/png")


def _as_png(data: bytes, name: str) -> bytes:
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        error = missing("PIL", extra="images", what=f"{name} is no PNG, JPEG, GIF, WebP or BMP")
        raise ValueError(str(error)) from None
    source = BytesIO(data)
    try:
        with Image.open(source) as opened:
            upright = ImageOps.exif_transpose(opened)
            made = BytesIO()
            upright.convert("RGBA" if "A" in upright.mode else "RGB").save(made, "PNG")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        why = str(error).replace(repr(source), name)
        raise ValueError(f"{name} is no picture that can be opened ({why})") from None
    return made.getvalue()


def hosts_of(host: str, port: int) -> set[str]:
    """The Host headers of a server that listens at a host and a port.

    On loopback these are the names of this machine for itself. Elsewhere they are the host itself,
    the name of the machine, and its addresses, but no other name.
    """
    names = {*LOOPBACK, host}
    if host not in LOOPBACK:
        names.add(socket.gethostname())
        try:
            found = socket.getaddrinfo(socket.gethostname(), None)
            names |= {str(one[4][0]) for one in found}
        except OSError:
            pass
        names.add(_outward())
    written = {f"[{name}]" if ":" in name else name for name in names if name}
    # Browsers leave out the port that all have by default.
    return {f"{name}:{port}" for name in written} | (written if port == 80 else set())


def _outward() -> str:
    """The address by which other machines reach this one; "" where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        try:
            made.connect(("192.0.2.1", 9))  # sends nothing: it only chooses a way out
            return str(made.getsockname()[0])
        except OSError:
            return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(project: Project, host: str, port: int) -> str:
    """The address of the page, with its token."""
    shown = _outward() or host if host in ("0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}/?token={project.store.token}"


def server_of(project: Project, made: socket.socket, root: Path | None = None) -> uvicorn.Server:
    """A server of the page of a project on a socket; `run(sockets=[made])` serves."""
    import uvicorn

    host, port = made.getsockname()[:2]
    pages = Pages(project, root, hosts_of(host, port))
    config = uvicorn.Config(
        pages.app(),
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


@contextmanager
def ended_by_interrupt(server: uvicorn.Server) -> Iterator[None]:
    """A context of the main thread in which Ctrl-C ends a server, also before it serves.

    There is no KeyboardInterrupt: one that comes while a module is imported can be lost.
    """

    def ended(*_: Any) -> None:
        server.should_exit = True

    before = signal.signal(signal.SIGINT, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
