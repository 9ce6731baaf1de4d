"""The service as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from recbole_marn import __version__
from recbole_marn.errors import InputError
from recbole_marn.serving.service import schema
from recbole_marn.serving.service.answers import Endpoints
from recbole_marn.serving.service.guard import FAULT, Guard, refusal
from recbole_marn.serving.service.metrics import CONTENT_TYPE_LATEST, Metrics
from recbole_marn.serving.service.options import LOOPBACK, ServiceOptions
from recbole_marn.serving.service.photos import ServedPhotos
from recbole_marn.serving.service.state import State
from recbole_marn.training.children import end_with_parent

__all__ = ["create_app"]

THREADS = 2  # that compute in a worker: a short request need not wait for a long one
PAGE = {
    "/": ("index.html", "text/html"), "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}  # fmt: skip
REFUSED = {
    status: {"model": schema.Problems, "description": text}
    for status, text in {
        400: "Not JSON, or for another host", 413: "Too large", 415: "No JSON", 422: "Cannot be used",
        503: "Too many at a time", 504: "Too slow",
    }.items()
}  # fmt: skip
READ = {status: REFUSED[status] for status in (400, 422, 503, 504)}
MAY_ADD = REFUSED | {
    401: {"model": schema.Problems, "description": "Without the token"},
    403: {"model": schema.Problems, "description": "Not from another machine without a token"},
}


# What a request is made of, by path, and its parts by the field that lists them.
BODIES = {"/score": schema.ScoreRequest, "/recommend": schema.RecommendRequest, "/items": schema.ItemsRequest}
PARTS = {"history": schema.Behaviour, "items": schema.ItemContent}


def create_app(options: ServiceOptions) -> Any:
    """The application of one worker.

    Raises:
        InputError: no export, no photos, or nowhere to keep what is added.
    """
    endpoints = Endpoints(State(options), ServedPhotos(options.photos), Metrics())
    endpoints.metrics.items.set(endpoints.health().items)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        end_with_parent()
        looking = asyncio.create_task(_look(endpoints, options))
        yield
        looking.cancel()
        pool.shutdown()

    app = FastAPI(
        title="recbole_marn", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Click probabilities and rankings by an export, for users who are nothing but their behaviours.",
    )  # fmt: skip
    _refuse_with_reasons(app)
    _answer(app, endpoints, options, pool)
    _serve_page(app, endpoints.photos)
    if options.is_local:
        # A page elsewhere whose name comes to mean this machine must not talk to the service.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]", *options.names])
    return Guard(app, options, endpoints.metrics)


def _answer(app: FastAPI, endpoints: Endpoints, options: ServiceOptions, pool: ThreadPoolExecutor) -> None:
    """The paths that programs ask."""

    async def computed(work: Callable, *args: Any) -> Any:
        """In a thread; one that has not begun when the request is given up never does."""
        return await asyncio.get_running_loop().run_in_executor(pool, work, *args)

    @app.post("/score", responses=REFUSED, summary="Click probabilities of candidates")
    async def score(asked: schema.ScoreRequest) -> schema.ScoreAnswer:
        return await computed(endpoints.score, asked)

    @app.post("/recommend", responses=REFUSED, summary="The likeliest items")
    async def recommend(asked: schema.RecommendRequest) -> schema.RecommendAnswer:
        return await computed(endpoints.recommend, asked)

    @app.post("/items", responses=MAY_ADD, summary="Add items, or describe known ones anew")
    async def add(asked: schema.ItemsRequest, authorization: Annotated[str, Header()] = "") -> schema.ItemsAnswer:
        _check_may_add(options, authorization)
        return await computed(endpoints.add, asked)

    @app.get("/items", responses=READ, summary="Items by words of their title or id")
    async def search(
        search: Annotated[str, Query(max_length=200)] = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> schema.Found:
        return await computed(endpoints.search, search, limit)

    @app.get("/health", responses=READ, summary="Which export answers, and what it reads")
    async def health() -> schema.Health:
        return await computed(endpoints.health)

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(endpoints.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _serve_page(app: FastAPI, photos: ServedPhotos) -> None:
    """The page for people, and the photos it shows."""

    @app.get("/photos/{item:path}", include_in_schema=False)
    async def photo(item: str) -> Response:
        found = photos.of(item)
        if found is None:
            raise HTTPException(404, "No picture of that item.")
        return FileResponse(found[0], media_type=found[1])

    for path, (name, kind) in PAGE.items():
        _serve_file(app, path, name, kind)


async def _look(endpoints: Endpoints, options: ServiceOptions) -> None:
    """Look for another export now and then, in a thread: checking one takes as long as reading it."""
    while True:
        await asyncio.sleep(options.look_every)
        if await asyncio.to_thread(endpoints.state.look):
            endpoints.metrics.reloads.inc()
            endpoints.metrics.items.set(endpoints.health().items)


def _check_may_add(options: ServiceOptions, authorization: str) -> None:
    if options.token is None and not options.is_local:
        raise HTTPException(403, "Expected a service with --token-file, for other machines reach it. Start it so.")
    if options.token is not None and not hmac.compare_digest(
        authorization.encode(), f"Bearer {options.token}".encode()
    ):
        raise HTTPException(401, "Expected the header `Authorization: Bearer TOKEN`.", {"WWW-Authenticate": "Bearer"})


def _serve_file(app: FastAPI, path: str, name: str, kind: str) -> None:
    content = resources.files(__package__).joinpath("page", name).read_bytes()

    @app.get(path, include_in_schema=False)
    async def file() -> Response:
        return Response(content, media_type=kind)


def _refuse_with_reasons(app: FastAPI) -> None:
    """Every refusal has the same form; none repeats what was sent, which may be no JSON again."""

    def refused(request: Request, status: int, problems: list[tuple[str, str]], headers: Any = None) -> Response:
        body = refusal(request.state.request_id, problems)
        return Response(body, status, headers, media_type="application/json")

    @app.exception_handler(InputError)
    async def not_usable(request: Request, error: InputError) -> Response:
        return refused(request, 422, [("", str(error))])

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        problems = error.errors()
        status = 400 if any(problem["type"] == "json_invalid" for problem in problems) else 422
        told = [(".".join(map(str, one["loc"])), _reason(one, request.url.path)) for one in problems]
        return refused(request, status, told)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return refused(request, error.status_code, [("", str(error.detail))], error.headers)

    @app.exception_handler(Exception)  # the guard writes it to the log
    async def fault(request: Request, error: Exception) -> Response:
        return refused(request, 500, [("", FAULT)])


def _reason(problem: Any, path: str) -> str:
    """What was wrong; of a field that nobody knows, which there are."""
    above = problem["loc"][:-1]
    model = next((of for name, of in PARTS.items() if name in above), BODIES.get(path))
    if problem["type"] != "extra_forbidden" or model is None:  # behind a proxy that adds to the path
        return problem["msg"]
    return f"Expected one of {', '.join(model.model_fields)}. Correct the name, or leave it out."
