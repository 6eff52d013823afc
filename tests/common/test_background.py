"""Work in the background always ends."""

import asyncio

from libs.common.background import in_background


async def test_a_swallowed_cancellation_is_repeated() -> None:
    """`asyncio.wait_for` of Python 3.11 answers instead of passing on a cancellation that comes at the same time."""
    # given
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.wait_for(answer, 60)
            await asyncio.Event().wait()
        finally:
            ended.set()

    # when
    async with asyncio.timeout(10):
        async with in_background(work()):
            await asyncio.sleep(0)
            answer.set_result(None)
    # then
    assert ended.is_set()


async def test_what_has_ended_by_itself_is_left_alone() -> None:
    """Its context ends at once."""
    done: list[str] = []

    async def work() -> None:
        done.append("work")

    async with asyncio.timeout(0.5), in_background(work()):
        await asyncio.sleep(0)
    assert done == ["work"]
