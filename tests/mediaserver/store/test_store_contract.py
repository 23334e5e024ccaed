"""What every store promises, whatever database is behind it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.store import cursor as cursors
from mediaserver.store.interface import CursorError, Fact, RefusedError, Store, StoreError, TakenError
from mediaserver.store.records import Account, Entry, Preferences, RefreshToken, SessionRecord, TurnUsage

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
PREFERRED = Preferences("Kore", "de", "gemini-3.8-live", "Be brief.", 700)


@pytest.fixture
def store(any_store: Store) -> Store:
    """Seen through the protocol only."""
    return any_store


def account(user: str, username: str = "", email: str = "") -> Account:
    return Account(user, username or user, email or f"{user}@example.org", None, "argon2", NOON)


def token(name: str, owner: str = "ada", family: str = "f") -> RefreshToken:
    return RefreshToken(name, family, owner, owner, False, NOON, NOON + 24 * HOUR)


def session(name: str, owner: str = "ada", started_at: datetime = NOON, label: str = "") -> SessionRecord:
    return SessionRecord(name, owner, label or name, "webrtc", "local", "local-1", "en", started_at)


def ended(record: SessionRecord, at: datetime = NOON + HOUR) -> SessionRecord:
    return replace(record, ended_at=at, turns=2, end_reason="client")


def entry(of: str, turn: int = 1, role: str = "user", text: str = "hello") -> Entry:
    return Entry(of, NOON, role, text, turn)


async def listed(store: Store, owner: str = "ada") -> list[str]:
    return [record.id for record in (await store.sessions(owner, limit=100, cursor=None)).sessions]


# Accounts.


async def test_an_account_comes_back_as_it_was_kept(store: Store) -> None:
    kept = Account("1", "Ada", "Ada@Example.org", "Ada Lovelace", "argon2", NOON)
    await store.add_account(kept)
    assert await store.account("1") == kept
    assert await store.account("2") is None


@pytest.mark.parametrize("name", ["Ada", "aDA", "ada@EXAMPLE.org"])
async def test_an_account_is_found_by_username_or_email_without_regard_to_case(store: Store, name: str) -> None:
    await store.add_account(account("1", "Ada", "Ada@Example.org"))
    found = await store.account_named(name)
    assert found is not None
    assert found.id == "1"
    assert await store.account_named("bob") is None


@pytest.mark.parametrize(
    ("username", "email", "field"),
    [
        ("ADA", "new@example.org", "username"),
        ("new", "ADA@example.org", "email"),
        ("ada", "ada@example.org", "username"),
        ("ada@example.org", "new@example.org", "username"),
        ("new", "ada", "email"),
    ],
)
async def test_a_taken_name_is_told_by_its_field(store: Store, username: str, email: str, field: str) -> None:
    await store.add_account(account("1", "ada", "ada@example.org"))
    with pytest.raises(TakenError) as refused:
        await store.add_account(account("2", username, email))
    assert refused.value.field == field
    assert await store.account("2") is None


async def test_names_that_unicode_spells_in_two_ways_are_one(store: Store) -> None:
    await store.add_account(account("1", "Strauß"))
    with pytest.raises(TakenError):
        await store.add_account(account("2", "STRAUSS"))
    await store.add_account(account("3", "Ame\u0301lie"))
    found = await store.account_named("am\u00e9lie")
    assert found is not None
    assert found.id == "3"


async def test_an_id_is_never_given_twice(store: Store) -> None:
    await store.add_account(account("1", "ada"))
    with pytest.raises(RefusedError):
        await store.add_account(account("1", "bob"))


async def test_accounts_are_listed_oldest_first(store: Store) -> None:
    await store.add_account(replace(account("young"), created_at=NOON + HOUR))
    await store.add_account(account("old"))
    assert [one.id for one in await store.accounts()] == ["old", "young"]


async def test_an_account_can_change_all_but_its_id(store: Store) -> None:
    await store.add_account(account("1", "ada"))
    changed = Account("1", "ADA", "new@example.org", "Ada", "argon2 again", NOON + HOUR)
    await store.change_account(changed)
    assert await store.account("1") == changed
    await store.add_account(account("2", "bob"))
    with pytest.raises(TakenError) as refused:
        await store.change_account(replace(changed, username="Bob"))
    assert refused.value.field == "username"
    assert await store.account("1") == changed


async def test_changing_an_account_that_is_gone_does_not_bring_it_back(store: Store) -> None:
    await store.change_account(account("1"))
    assert await store.accounts() == ()


async def test_of_many_who_want_one_name_exactly_one_gets_it(store: Store) -> None:
    registrations = [store.add_account(account(str(number), "ada", f"{number}@example.org")) for number in range(20)]
    answers = await asyncio.gather(*registrations, return_exceptions=True)
    assert answers.count(None) == 1
    assert sum(isinstance(answer, TakenError) for answer in answers) == 19


async def test_preferences_are_a_users_own(store: Store) -> None:
    assert await store.preferences("ada") == Preferences()
    await store.set_preferences("ada", replace(PREFERRED, voice="Puck"))
    await store.set_preferences("ada", PREFERRED)
    assert await store.preferences("ada") == PREFERRED
    assert await store.preferences("bob") == Preferences()


async def test_forgetting_a_user_leaves_nothing_of_them_and_all_of_others(store: Store) -> None:
    for owner in ("ada", "bob"):
        await store.add_account(account(owner))
        await store.set_preferences(owner, PREFERRED)
        await store.add_token(token(f"t-{owner}", owner))
        await store.write(
            [session(f"s-{owner}", owner), entry(f"s-{owner}"), TurnUsage(f"s-{owner}", 1, NOON, {"total": 1})]
        )
    await store.forget_user("ada")
    assert await store.account("ada") is None
    assert await store.account_named("ada") is None
    assert await store.preferences("ada") == Preferences()
    assert await store.spend_token("t-ada", NOON) is None
    assert await listed(store, "ada") == []
    assert await store.history("s-ada") == ()
    assert await store.usage("s-ada") == ()
    assert await store.account("bob") == account("bob")
    assert await store.preferences("bob") == PREFERRED
    assert await store.spend_token("t-bob", NOON) == token("t-bob", "bob")
    assert await listed(store, "bob") == ["s-bob"]
    assert len(await store.history("s-bob")) == len(await store.usage("s-bob")) == 1


async def test_what_was_on_its_way_does_not_bring_a_forgotten_user_back(store: Store) -> None:
    await store.add_account(account("ada"))
    await store.write([session("known", "ada")])
    await store.forget_user("ada")
    await store.forget_user("ada")
    await store.write([ended(session("known", "ada")), entry("known"), session("new", "ada"), entry("new")])
    assert await listed(store, "ada") == []
    assert await store.history("known") == await store.history("new") == ()


async def test_a_name_is_free_again_once_its_user_is_forgotten(store: Store) -> None:
    await store.add_account(account("1", "ada"))
    await store.forget_user("1")
    await store.add_account(account("2", "ada"))
    assert await store.account("2") is not None


# Refresh tokens.


async def test_a_token_is_seen_unspent_once_and_spent_ever_after(store: Store) -> None:
    await store.add_token(token("t"))
    assert await store.spend_token("t", NOON + HOUR) == token("t")
    assert await store.spend_token("t", NOON + 2 * HOUR) == replace(token("t"), spent_at=NOON + HOUR)
    assert await store.spend_token("other", NOON) is None


async def test_of_many_who_spend_one_token_exactly_one_sees_it_unspent(store: Store) -> None:
    await store.add_token(token("t"))
    seen = await asyncio.gather(*(store.spend_token("t", NOON + number * HOUR) for number in range(20)))
    assert sum(one is not None and one.spent_at is None for one in seen) == 1
    assert None not in seen


async def test_revoking_a_family_leaves_other_families(store: Store) -> None:
    for name, family in (("a", "f"), ("b", "f"), ("c", "g")):
        await store.add_token(token(name, family=family))
    await store.revoke_family("f", NOON)
    assert [await store.spend_token(name, NOON) for name in "abc"] == [None, None, token("c", family="g")]
    assert await store.revoked_since(NOON) == ("f",)


async def test_revoking_a_user_leaves_other_users(store: Store) -> None:
    await store.add_token(token("a", "ada"))
    await store.add_token(token("b", "bob", family="h"))
    await store.add_token(token("c", "ada"))
    await store.add_token(token("d", "ada", family="g"))
    assert sorted(await store.revoke_user("ada", NOON)) == ["f", "g"]
    assert [await store.spend_token(name, NOON) for name in "acd"] == [None, None, None]
    assert await store.spend_token("b", NOON) == token("b", "bob", family="h")
    assert sorted(await store.revoked_since(NOON)) == ["f", "g"]


async def test_deleting_the_tokens_of_a_user_revokes_nothing(store: Store) -> None:
    await store.add_token(token("a", "guest-1"))
    await store.add_token(token("b", "bob"))
    await store.delete_tokens("guest-1")
    assert await store.token("a") is None
    assert await store.token("b") == token("b", "bob")
    assert await store.revoked_since(NOON - HOUR) == ()


async def test_looking_at_a_token_spends_nothing(store: Store) -> None:
    await store.add_token(token("t"))
    assert await store.token("t") == token("t")
    assert await store.spend_token("t", NOON) == token("t")
    assert await store.token("t") == replace(token("t"), spent_at=NOON)


# Revocations.


async def test_revocations_are_listed_from_their_moment_on(store: Store) -> None:
    await store.revoke(["a"], NOON)
    await store.revoke(["b", "c"], NOON + HOUR)
    await store.revoke([], NOON)
    assert sorted(await store.revoked_since(NOON)) == ["a", "b", "c"]
    assert sorted(await store.revoked_since(NOON + HOUR)) == ["b", "c"]
    await store.revoke(["a"], NOON + HOUR)
    assert sorted(await store.revoked_since(NOON + HOUR)) == ["a", "b", "c"]


async def test_a_revocation_is_forgotten_when_no_token_can_live_any_more(store: Store) -> None:
    await store.revoke(["a"], NOON)
    await store.forget_before(NOON + 25 * HOUR)
    assert await store.revoked_since(NOON) == ("a",)
    await store.forget_before(NOON + 26 * HOUR)
    assert await store.revoked_since(NOON) == ()


async def test_a_forgotten_user_is_revoked(store: Store) -> None:
    before = datetime.now(UTC)
    await store.add_account(account("ada"))
    await store.forget_user("ada")
    assert await store.revoked_since(before) == ("ada",)


# Known networks.


async def test_a_network_is_known_to_the_account_that_logged_in_from_it_for_ninety_days(store: Store) -> None:
    await store.add_known_network("ada", "n", NOON)
    await store.add_known_network("ada", "n", NOON + HOUR)
    assert await store.is_known_network("ada", "n", NOON + 90 * 24 * HOUR)
    assert not await store.is_known_network("ada", "n", NOON + (90 * 24 + 1) * HOUR)
    assert not await store.is_known_network("ada", "other", NOON)
    assert not await store.is_known_network("bob", "n", NOON)


async def test_known_networks_are_forgotten_with_their_account_and_when_they_expire(store: Store) -> None:
    for owner in ("ada", "bob"):
        await store.add_known_network(owner, "n", NOON)
    await store.forget_user("ada")
    assert [await store.is_known_network(owner, "n", NOON) for owner in ("ada", "bob")] == [False, True]
    await store.forget_before(NOON + 91 * 24 * HOUR)
    assert not await store.is_known_network("bob", "n", NOON)


# Sessions and history.


async def test_facts_come_back_as_they_were_written(store: Store) -> None:
    record = ended(session("s"))
    said = Entry("s", NOON, "assistant", "I can see\na spreadsheet 📈", 1, interrupted=True, heard_ms=1240)
    cost = TurnUsage("s", 1, NOON, {"total": 120, "audio": 100})
    await store.write([record, said, cost])
    assert await store.session("ada", "s") == record
    assert await store.history("s") == (said,)
    assert await store.usage("s") == (cost,)


async def test_times_come_back_in_utc_whatever_their_zone_was(store: Store) -> None:
    await store.write([session("s", started_at=NOON.astimezone(timezone(timedelta(hours=-7))))])
    found = await store.session("ada", "s")
    assert found is not None
    assert found.started_at == NOON
    assert found.started_at.utcoffset() == timedelta(0)


async def test_a_fact_replaces_the_one_of_its_key(store: Store) -> None:
    await store.write([session("s"), entry("s", text="hel"), entry("s", text="hello")])
    await store.write([ended(session("s")), entry("s", text="hello you"), TurnUsage("s", 1, NOON, {"total": 1})])
    await store.write([TurnUsage("s", 1, NOON, {"total": 2})])
    assert await store.session("ada", "s") == ended(session("s"))
    assert [one.text for one in await store.history("s")] == ["hello you"]
    assert [one.tokens for one in await store.usage("s")] == [{"total": 2}]


async def test_a_batch_may_be_written_twice(store: Store) -> None:
    batch: list[Fact] = [session("s"), entry("s"), TurnUsage("s", 1, NOON, {"total": 1})]
    await store.write(batch)
    await store.write(batch)
    assert await listed(store) == ["s"]
    assert len(await store.history("s")) == len(await store.usage("s")) == 1


async def test_history_is_in_the_order_of_turns_with_the_question_first(store: Store) -> None:
    await store.write([session("s"), entry("s", 10, "system"), entry("s", 10, "assistant"), entry("s", 10, "user")])
    await store.write([entry("s", 9, "assistant"), entry("s", 2, "user")])
    order = [(one.turn, one.role) for one in await store.history("s")]
    assert order == [(2, "user"), (9, "assistant"), (10, "user"), (10, "assistant"), (10, "system")]


async def test_usage_is_in_the_order_of_turns(store: Store) -> None:
    await store.write([session("s"), TurnUsage("s", 10, NOON), TurnUsage("s", 2, NOON)])
    assert [one.turn for one in await store.usage("s")] == [2, 10]


async def test_facts_of_an_unknown_session_are_ignored_and_the_rest_is_kept(store: Store) -> None:
    await store.write([entry("nowhere"), TurnUsage("nowhere", 1, NOON), session("s"), entry("s")])
    assert await store.history("nowhere") == ()
    assert await store.usage("nowhere") == ()
    assert len(await store.history("s")) == 1
    await store.write([])


async def test_a_fact_that_cannot_be_stored_refuses_its_whole_batch(store: Store) -> None:
    with pytest.raises(RefusedError) as refused:
        await store.write([session("s"), Entry("s", datetime(2026, 1, 1), "user", "a secret", 1)])
    assert "secret" not in str(refused.value)
    assert await listed(store) == []


@pytest.mark.parametrize("text", ["lone \ud800 surrogate", "a \0 byte", "\udfff"])
async def test_text_that_no_database_takes_is_kept_without_what_it_refuses(store: Store, text: str) -> None:
    await store.write([session("s", label=text), entry("s", text=text)])
    (kept,) = await store.history("s")
    assert kept.text == text.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd").replace("\0", "\ufffd")
    assert await store.session("ada", text) is not None


async def test_pages_are_newest_first_and_complete(store: Store) -> None:
    starts = [NOON + number * HOUR for number in (3, 1, 1, 2, 0)]
    await store.write([session(f"s{number}", started_at=start) for number, start in enumerate(starts)])
    pages, cursor = [], None
    while True:
        page = await store.sessions("ada", limit=2, cursor=cursor)
        pages.append([record.id for record in page.sessions])
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == [["s0", "s3"], ["s2", "s1"], ["s4"]]


async def test_the_last_page_says_so_even_when_it_is_full(store: Store) -> None:
    await store.write([session("a"), session("b")])
    assert (await store.sessions("ada", limit=2, cursor=None)).next_cursor is None
    assert (await store.sessions("bob", limit=2, cursor=None)).next_cursor is None


async def test_a_page_stays_where_it_was_when_sessions_come_and_go(store: Store) -> None:
    await store.write([session(f"s{number}", started_at=NOON + number * HOUR) for number in range(4)])
    first = await store.sessions("ada", limit=2, cursor=None)
    await store.write([session("newest", started_at=NOON + 9 * HOUR)])
    await store.forget_session("ada", "s2")
    second = await store.sessions("ada", limit=2, cursor=first.next_cursor)
    assert [record.id for record in (*first.sessions, *second.sessions)] == ["s3", "s2", "s1", "s0"]


async def test_a_cursor_shows_nothing_of_another_user(store: Store) -> None:
    await store.write([session("a1"), session("a2"), session("b1", "bob"), session("b2", "bob")])
    cursor = (await store.sessions("ada", limit=1, cursor=None)).next_cursor
    page = await store.sessions("bob", limit=9, cursor=cursor)
    assert {record.owner for record in page.sessions} <= {"bob"}


@pytest.mark.parametrize("cursor", ["", "x", "ünïcode", "AAAA", "bm90IGEgdGltZXxz", "=" * 9, "A" * 10_000, "\0"])
async def test_a_cursor_that_was_not_given_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(CursorError):
        await store.sessions("ada", limit=1, cursor=cursor)


@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        moment, name = cursors.parse(text)
    except CursorError:
        return
    assert cursors.render(moment, name) == text


async def test_a_session_is_found_by_its_owner_only_by_id_or_newest_label(store: Store) -> None:
    await store.write([session("old", label="work"), session("new", started_at=NOON + HOUR, label="work")])
    await store.write([session("other", started_at=NOON + 2 * HOUR, label="old")])
    found = [await store.session("ada", name) for name in ("work", "old", "nothing")]
    assert [None if one is None else one.id for one in found] == ["new", "old", None]
    assert await store.session("bob", "old") is None
    assert await store.session("bob", "work") is None


async def test_a_session_is_forgotten_by_its_owner_only_and_for_good(store: Store) -> None:
    await store.write([session("s"), entry("s"), TurnUsage("s", 1, NOON, {"total": 1}), session("kept"), entry("kept")])
    assert not await store.forget_session("bob", "s")
    assert await store.session("ada", "s") is not None
    assert await store.forget_session("ada", "s")
    assert not await store.forget_session("ada", "s")
    await store.write([ended(session("s")), entry("s", 2)])  # it was live: its last facts were still on their way
    assert await store.session("ada", "s") is None
    assert await store.history("s") == ()
    assert await store.usage("s") == ()
    assert len(await store.history("kept")) == 1


async def test_adopting_moves_a_guests_sessions_and_nobody_elses(store: Store) -> None:
    await store.write([session("g1", "guest-1"), entry("g1"), session("g2", "guest-1"), session("h", "guest-2")])
    await store.write([session("mine")])
    assert await store.adopt("guest-1", "ada") == 2
    assert await store.adopt("guest-1", "ada") == 0
    assert set(await listed(store)) == {"g1", "g2", "mine"}
    assert await listed(store, "guest-1") == []
    assert await listed(store, "guest-2") == ["h"]
    assert len(await store.history("g1")) == 1


async def test_an_adopted_session_that_is_live_stays_adopted(store: Store) -> None:
    await store.write([session("s", "guest-1")])
    await store.adopt("guest-1", "ada")
    await store.forget_user("guest-1")
    await store.write([ended(session("s", "guest-1")), entry("s")])
    assert await store.session("ada", "s") == ended(session("s"))
    assert await listed(store, "guest-1") == []


async def test_the_sessions_of_an_account_are_not_up_for_adoption(store: Store) -> None:
    await store.add_account(account("bob"))
    await store.write([session("s", "bob")])
    assert await store.adopt("bob", "ada") == 0
    assert await listed(store, "bob") == ["s"]


async def test_what_ended_before_the_moment_is_forgotten_and_nothing_else(store: Store) -> None:
    await store.write(
        [ended(session("old"), NOON), entry("old"), ended(session("young"), NOON + HOUR), session("live")]
    )
    assert await store.forget_before(NOON + HOUR) == 1
    assert set(await listed(store)) == {"young", "live"}
    assert await store.history("old") == ()


async def test_any_number_of_old_sessions_is_forgotten(store: Store) -> None:
    await store.write([ended(session(f"s{number}")) for number in range(450)])
    assert await store.forget_before(NOON + 2 * HOUR) == 450
    assert await listed(store) == []


async def test_a_token_is_forgotten_when_it_had_expired_and_not_when_it_was_spent(store: Store) -> None:
    await store.add_token(token("spent"))
    await store.spend_token("spent", NOON)
    await store.forget_before(NOON + 24 * HOUR)
    found = await store.spend_token("spent", NOON)
    assert found is not None
    assert found.spent_at == NOON
    await store.forget_before(NOON + 25 * HOUR)
    assert await store.spend_token("spent", NOON) is None


async def test_the_preferences_of_a_guest_who_cannot_come_back_are_forgotten(store: Store) -> None:
    await store.add_account(account("ada"))
    await store.add_token(token("t", "guest-1"))
    await store.write([session("s", "guest-2")])
    for owner in ("ada", "guest-1", "guest-2", "guest-3"):
        await store.set_preferences(owner, PREFERRED)
    await store.forget_before(NOON)
    kept = [owner for owner in ("ada", "guest-1", "guest-2", "guest-3") if await store.preferences(owner) == PREFERRED]
    assert kept == ["ada", "guest-1", "guest-2"]


async def test_what_a_crash_left_open_is_closed(store: Store) -> None:
    over = ended(session("over"))
    cut = entry("live", 2, "assistant")
    heard = Entry("live", NOON, "assistant", "all of it", 1, heard_ms=900)
    await store.write([over, entry("over", 1, "assistant"), session("live"), heard, entry("live", 2, "user"), cut])
    assert await store.end_open_sessions(NOON + HOUR) == 1
    assert await store.end_open_sessions(NOON + HOUR) == 0
    found = await store.session("ada", "live")
    assert found is not None
    assert (found.ended_at, found.end_reason) == (NOON + HOUR, "error")
    assert await store.session("ada", "over") == over
    assert await store.history("live") == (heard, entry("live", 2, "user"), replace(cut, interrupted=True))
    assert not (await store.history("over"))[0].interrupted


async def test_many_can_read_and_write_at_once(store: Store) -> None:
    async def live(number: int) -> None:
        owner, name = f"user{number % 4}", f"s{number}"
        await store.write([session(name, owner)])
        for turn in range(5):
            await store.write([entry(name, turn), entry(name, turn, "assistant")])
            assert await store.session(owner, name) is not None
            await store.sessions(owner, limit=5, cursor=None)
        await store.write([ended(session(name, owner))])

    await asyncio.gather(*(live(number) for number in range(20)))
    for number in range(20):
        assert len(await store.history(f"s{number}")) == 10
    assert [len(await listed(store, f"user{number}")) for number in range(4)] == [5, 5, 5, 5]


async def test_a_cancelled_call_harms_no_other(store: Store) -> None:
    await store.write([session("s")])
    for _ in range(10):
        calls = [asyncio.create_task(store.write([entry("s", turn)])) for turn in range(5)]
        calls += [asyncio.create_task(_read(store)) for _ in range(5)]
        for _ in range(3):
            await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.exception() is None for call in calls[1::2])
    await store.write([entry("s", 99)])
    assert (await store.history("s"))[-1].turn == 99


async def _read(store: Store) -> None:
    await store.history("s")


async def test_an_open_store_answers_and_a_closed_one_says_so(store: Store) -> None:
    await store.check()
    await store.close()
    await store.close()
    with pytest.raises(StoreError):
        await store.check()
    with pytest.raises(StoreError):
        await store.write([session("s")])
