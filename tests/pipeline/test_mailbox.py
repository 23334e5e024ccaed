"""The bounded queue."""

import asyncio

from pipeline.mailbox import Mailbox


async def test_items_come_out_in_the_order_they_went_in() -> None:
    mailbox = Mailbox[int](3)
    for item in (1, 2, 3):
        mailbox.put(item)
    mailbox.close()
    assert [item async for item in mailbox] == [1, 2, 3]


async def test_a_full_mailbox_drops_the_oldest_and_counts_it() -> None:
    mailbox = Mailbox[int](2)
    results = [mailbox.put(item) for item in (1, 2, 3)]
    mailbox.close()
    assert results == [False, False, True]
    assert mailbox.dropped == 1
    assert [item async for item in mailbox] == [2, 3]


async def test_a_reader_waits_for_what_is_put_later() -> None:
    mailbox = Mailbox[int](2)
    reading = asyncio.create_task(anext(mailbox))
    await asyncio.sleep(0)
    assert not reading.done()
    mailbox.put(7)
    assert await reading == 7


async def test_a_closed_mailbox_takes_nothing_and_ends_its_reader() -> None:
    mailbox = Mailbox[int](2)
    reading = asyncio.create_task(_all(mailbox))
    await asyncio.sleep(0)
    mailbox.close()
    mailbox.put(1)
    assert await reading == []
    assert len(mailbox) == 0


async def _all(mailbox: Mailbox[int]) -> list[int]:
    return [item async for item in mailbox]
