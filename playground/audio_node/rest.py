"""The REST API: https://lavalink.dev/api/rest.html. Order of checks and sentences are those of the real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET

from playground.audio_node import filters, jvm, stats, tracks
from playground.audio_node.errors import RestError, error_response, json_response
from playground.audio_node.player import Player, World
from playground.audio_node.requests import PlayerUpdate, SessionUpdate, TrackUpdate
from playground.audio_node.sessions import Session, Sessions
from playground.audio_node.voice import VoiceError, VoiceInfo

VERSION = "4.2.2"
LOAD_TIMEOUT = 30.0
MAX_BODY = 4 * 1024 * 1024
BUILD_TIME = 1775900000000
"""Milliseconds; of the Lavalink release whose API this is."""

Body = TypeVar("Body")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def middleware(password: str) -> Any:
    """Checks the password, adds the version header, and gives errors their shape."""

    @web.middleware
    async def run(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        if given != password:
            refused = web.Response(status=401 if given is None else 403)
            refused.headers["Lavalink-Api-Version"] = "4"
            return refused
        try:
            response = await handler(request)
        except RestError as error:
            response = error_response(request, error.status, error.message, error)
        except web.HTTPNotFound as error:
            response = error_response(request, 404, f"No endpoint {request.method} {request.path}.", error)
        except web.HTTPException as error:
            response = error_response(request, error.status, error.reason, error)
        except Exception as error:
            request.app.logger.exception("%s %s failed", request.method, request.path)
            response = error_response(request, 500, f"Request processing failed: {error}", error)
        if response.status != 500 and not response.prepared:
            response.headers["Lavalink-Api-Version"] = "4"
        return response

    return run


class Api:
    """The handlers, over the sessions and what their players share."""

    def __init__(self, sessions: Sessions[Player], world: World) -> None:
        self._sessions = sessions
        self._world = world
        self._engine = world.engine
        self._started = time.monotonic()
        self._cpu = stats.CpuMeter()
        self._loaders = ThreadPoolExecutor(8, thread_name_prefix="load")

    def routes(self) -> list[web.RouteDef]:
        """What is answered, and by whom."""
        player = "/v4/sessions/{session}/players/{guild}"
        return [
            web.get("/version", self.version),
            web.get("/v4/info", self.info),
            web.get("/v4/stats", self.stats),
            web.get("/v4/loadtracks", self.load_tracks),
            web.get("/v4/decodetrack", self.decode_track),
            web.post("/v4/decodetracks", self.decode_tracks),
            web.get("/v4/routeplanner/status", self.no_route_planner),
            web.patch("/v4/sessions/{session}", self.patch_session),
            web.get("/v4/sessions/{session}/players", self.players),
            web.get(player, self.player),
            web.patch(player, self.patch_player),
            web.delete(player, self.delete_player),
        ]

    def close(self) -> None:
        """Let go of the threads that look tracks up."""
        self._loaders.shutdown(wait=False, cancel_futures=True)

    # The node

    async def version(self, _request: web.Request) -> web.Response:
        """GET /version."""
        return web.Response(body=VERSION.encode(), headers={"Content-Type": "text/plain;charset=ISO-8859-1"})

    async def info(self, _request: web.Request) -> web.Response:
        """GET /v4/info: what this node is, and what it lacks."""
        major, minor, patch = (int(part) for part in VERSION.split("."))
        return json_response(
            {
                "version": {"semver": VERSION, "major": major, "minor": minor, "patch": patch, "preRelease": ""},
                "buildTime": BUILD_TIME,
                "git": {"branch": "", "commit": "", "commitTime": 0},
                "jvm": self._engine.jvm_version,
                "lavaplayer": jvm.LAVAPLAYER,
                "sourceManagers": self._engine.source_names,
                "filters": list(filters.SUPPORTED),
                "plugins": [],
                "tonearm": {
                    "audioNode": True,
                    "lacks": ["dave", *filters.LACKING],
                    "search": "words in title, artist and path of the local music folder, whatever the prefix",
                },
            }
        )

    async def stats(self, _request: web.Request) -> web.Response:
        """GET /v4/stats."""
        return json_response({"frameStats": None, **self._figures()})

    def stats_message(self) -> dict[str, Any]:
        """The `stats` message, with the frames since the last one."""
        players = [player for session in self._sessions for player in session.players.values()]
        frames = stats.frame_stats(players, self._world.stats_seconds)
        return {"op": "stats", "frameStats": frames, **self._figures()}

    def _figures(self) -> dict[str, Any]:
        players = [player for session in self._sessions for player in session.players.values()]
        return {
            "players": len(players),
            "playingPlayers": sum(player.playing for player in players),
            "uptime": int((time.monotonic() - self._started) * 1000),
            "memory": self._engine.memory(),
            "cpu": self._cpu.read(),
        }

    async def no_route_planner(self, _request: web.Request) -> web.Response:
        """GET /v4/routeplanner/status: there is none, which the real server says with 204."""
        return web.Response(status=204)

    # Tracks

    async def load_tracks(self, request: web.Request) -> web.Response:
        """GET /v4/loadtracks."""
        identifier = request.query.get("identifier")
        if identifier is None:
            raise RestError(400, "Required parameter 'identifier' is not present.")
        try:
            found = await self._load(identifier)
        except tracks.LookupFailed as error:
            return json_response({"loadType": "error", "data": error.to_json()})
        if found is None:
            return json_response({"loadType": "empty", "data": None})
        if not isinstance(found, tracks.Playlist):
            return json_response({"loadType": "track", "data": self._engine.track_json(found)})
        entries = [self._engine.track_json(track) for track in found.tracks]
        if found.search:
            return json_response({"loadType": "search", "data": entries})
        info = {"name": found.name, "selectedTrack": -1}
        return json_response({"loadType": "playlist", "data": {"info": info, "pluginInfo": {}, "tracks": entries}})

    async def decode_track(self, request: web.Request) -> web.Response:
        """GET /v4/decodetrack."""
        encoded = request.query.get("encodedTrack", request.query.get("track"))
        if encoded is None:
            raise RestError(400, "No track to decode provided")
        return json_response(self._engine.track_json(self._decode(encoded)))

    async def decode_tracks(self, request: web.Request) -> web.Response:
        """POST /v4/decodetracks."""
        encoded = await _body(request, list[str])
        if not encoded:
            raise RestError(400, "No tracks to decode provided")
        return json_response([self._engine.track_json(self._decode(entry)) for entry in encoded])

    async def _load(self, identifier: str) -> Any | tracks.Playlist | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOAD_TIMEOUT):
                return await loop.run_in_executor(self._loaders, self._engine.load, identifier)
        except TimeoutError:
            raise tracks.LookupFailed(f"not found within {LOAD_TIMEOUT:.0f} s") from None

    def _decode(self, encoded: str) -> Any:
        # '+' in a query that was not escaped arrives as a blank.
        try:
            return self._engine.decode(encoded.replace(" ", "+"))
        except tracks.DecodeFailed as error:
            raise RestError(500, "No message available") from error

    # Sessions and players

    async def patch_session(self, request: web.Request) -> web.Response:
        """PATCH session: whether it waits for its client, and for how many seconds."""
        session = self._session(request)
        update = await _body(request, SessionUpdate)
        if update.timeout is not UNSET and update.timeout < 0:
            raise RestError(400, "timeout must not be negative")
        if update.resuming is not UNSET:
            session.resuming = update.resuming
        if update.timeout is not UNSET:
            session.timeout = update.timeout
        return json_response({"resuming": session.resuming, "timeout": session.timeout})

    async def players(self, request: web.Request) -> web.Response:
        """GET players of a session."""
        return json_response([player.to_json() for player in self._session(request).players.values()])

    async def player(self, request: web.Request) -> web.Response:
        """GET one player."""
        found = self._session(request).players.get(_guild(request))
        if found is None:
            raise RestError(404, "Player not found")
        return json_response(found.to_json())

    async def delete_player(self, request: web.Request) -> web.Response:
        """DELETE a player, if there is one."""
        found = self._session(request).players.pop(_guild(request), None)
        if found is not None:
            await found.destroy()
        return web.Response(status=204)

    async def patch_player(self, request: web.Request) -> web.Response:
        """PATCH a player, which makes it if need be: voice first, then how it plays, then what."""
        session, guild = self._session(request), _guild(request)
        update = await _body(request, PlayerUpdate)
        wanted = update.wanted_track()
        chain = _check(update)
        player = session.players.get(guild)
        if player is None:
            player = session.players[guild] = Player(guild, session.user_id, self._world, session.send)
        if update.voice is not UNSET:
            voice = update.voice
            try:
                await player.set_voice(VoiceInfo(voice.token, voice.endpoint, voice.session_id, voice.channel_id))
            except VoiceError as error:
                raise RestError(500, str(error)) from error
        if chain is not None:
            player.set_filters(chain)
        if update.volume is not UNSET:
            player.set_volume(update.volume)
        if wanted.replaces:
            no_replace = request.query.get("noReplace", "false").lower() == "true"
            if not (no_replace and player.track is not None):
                await self._replace_track(session, player, wanted, update)
        else:
            _adjust(player, wanted, update)
        return json_response(player.to_json())

    async def _replace_track(
        self, session: Session[Player], player: Player, wanted: TrackUpdate, update: PlayerUpdate
    ) -> None:
        paused = update.paused if update.paused is not UNSET else False
        if wanted.identifier is not UNSET:
            track = await self._find(wanted.identifier)
            if session.players.get(player.guild_id) is not player:
                raise RestError(404, "Player not found")  # deleted while its track was looked up
        elif wanted.encoded is UNSET or wanted.encoded is None:
            player.set_paused(paused)
            player.stop()
            return
        else:
            track = self._decode(wanted.encoded)
        if update.end_time is not UNSET:
            player.set_end_time(update.end_time, track)
        player.play(
            track,
            position_ms=update.position if update.position is not UNSET else None,
            user_data=wanted.user_data if wanted.user_data is not UNSET else {},
            paused=paused,
        )

    async def _find(self, identifier: str) -> Any:
        try:
            found = await self._load(identifier)
        except tracks.LookupFailed as error:
            raise RestError(500, tracks.LOOKUP_FAILED) from error
        if found is None:
            raise RestError(400, "No matches found for identifier")
        if isinstance(found, tracks.Playlist):
            raise RestError(400, "Cannot play a playlist or search result")
        return found

    def _session(self, request: web.Request) -> Session[Player]:
        session = self._sessions.get(request.match_info["session"])
        if session is None:
            raise RestError(404, "Session not found")
        return session


def _check(update: PlayerUpdate) -> filters.Filters | None:
    """Judge a player update before anything is changed, and read its filters. Raises RestError."""
    if update.end_time is not UNSET and update.end_time is not None and update.end_time <= 0:
        raise RestError(400, "End time must be greater than 0")
    voice = update.voice
    if voice is not UNSET and not (voice.token and voice.endpoint and voice.session_id and voice.channel_id):
        raise RestError(400, "token, endpoint, sessionId and channelId must be provided in voice state")
    if update.filters is UNSET:
        return None
    try:
        return filters.parse(update.filters)
    except filters.FilterError as error:
        raise RestError(400, str(error)) from error


def _adjust(player: Player, wanted: TrackUpdate, update: PlayerUpdate) -> None:
    """Change the playing track without replacing it."""
    if update.paused is not UNSET:
        player.set_paused(update.paused)
    if wanted.user_data is not UNSET:
        player.set_user_data(wanted.user_data)
    if update.position is not UNSET and update.position is not None:
        player.seek(update.position)
    if update.end_time is not UNSET:
        player.set_end_time(update.end_time)


def _guild(request: web.Request) -> int:
    raw = request.match_info["guild"]
    if not raw.isascii() or not raw.isdigit():
        raise RestError(400, "Bad Request")
    return int(raw)


async def _body(request: web.Request, kind: type[Body]) -> Body:
    """The JSON body as this type. Raises RestError 400 for anything else."""
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise RestError(400, "Bad Request") from error
