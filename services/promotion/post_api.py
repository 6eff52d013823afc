"""gRPC: stepladder.promotion.v1.PostService."""

from dataclasses import replace
from datetime import date

from libs.common.days import parse_day
from libs.common.errors import NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import page_of
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.reaching import Reaches, check_over
from libs.facts.relations import Relation
from libs.facts.team import TEAM
from services.promotion.post import POST, post_id, to_resource
from services.promotion.posts import Posts
from services.promotion.rungs import Rungs
from services.promotion.seats import Occupied, Seats
from stepladder.promotion.v1 import post_pb2 as pb

SEEING_ALL = frozenset({Relation.HR, Relation.EXECUTIVE})


class PostApi:
    """Implements the service."""

    def __init__(
        self, service: Service, reaches: Reaches, posts: Posts, follower: Follower, seats: Seats, rungs: Rungs
    ) -> None:
        self._engine = service.engine
        self._commands = service.commands
        self._reaches = reaches
        self._posts = posts
        self._follower = follower
        self._seats = seats
        self._rungs = rungs

    async def SetHeadcount(self, request: pb.SetHeadcountRequest, context: Context) -> pb.Post:
        if not await self._commands.known(TEAM, [request.team_id], check=False):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {request.team_id}")
        day = max(parse_day(request.effective_date, "effective_date"), context.today)
        name = post_id(request.position, request.stars, request.team_id)
        if not (await self._commands.load(POST, name)).position:  # one that there is may outlive its rung
            (await self._rungs.on(day)).check_named(request.position, request.stars)
        handled = await self._seats.set_headcount(request, day, replace(context, etag=request.etag))
        return await self._resource(handled.state.post_id, context.today)

    async def GetPost(self, request: pb.GetPostRequest, context: Context) -> pb.Post:
        found = await self._commands.load(POST, request.post_id)
        await check_over(self._commands, context, found.state.team_id)
        if not found.position:
            raise NotFound("POST_NOT_FOUND", f"there is no post {request.post_id}")
        return await self._resource(request.post_id, _day(request.as_of, context))

    async def ListPosts(self, request: pb.ListPostsRequest, context: Context) -> pb.ListPostsResponse:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        everything = not reach.caller.relations.isdisjoint(SEEING_ALL)
        teams = [request.team_id] if request.team_id else None
        if not everything:
            teams = [one for one in reach.teams if request.team_id in {"", one}]
        ids = await self._posts.all_posts(self._engine, position=request.position, team_ids=teams)
        day = _day(request.as_of, context)
        found = (await self._seats.of(ids, day)).values()
        listed = [_shown(one) for one in found if one.has_vacancy or not request.vacant_only]
        page, token = page_of(request, listed, lambda one: [one.post_id])
        return pb.ListPostsResponse(posts=page, next_page_token=token)

    async def _resource(self, post_id: str, day: date) -> pb.Post:
        (one,) = (await self._seats.of([post_id], day)).values()
        return _shown(one)


def _shown(one: Occupied) -> pb.Post:
    return to_resource(one.standing.state, one.standing.position, one.occupancies, one.day)


def _day(as_of: str, context: Context) -> date:
    return parse_day(as_of, "as_of") if as_of else context.today
