"""The admin in a real Chromium, and what is done there seen by live sockets and publishers of two processes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import jwt
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from realtime.protocol import CloseCode
from tests import desks
from tests.clients import Door, Service, bearer, service_of, until
from tests.desks import at_a_desk, closed, prepare
from tests.servers import Server, daphne, environment, valkey

LIST = "/admin/realtime/secret/"
DOORS: tuple[Door, ...] = ("socket", "publish")
OPEN = {"socket": 101, "publish": 200}
SHUT = {"socket": 403, "publish": 401}  # daphne knows no other refusal of a handshake

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.asyncio(loop_scope="module")]


class Desk(desks.Desk):
    """It knows the forms of secrets."""

    async def add(self, name: str, *without: str) -> tuple[str, str]:
        """Make a secret without some grants. Returns its key id and its text."""
        await self.goto(f"{LIST}add/")
        await self.page.get_by_label("Name:").fill(name)
        for grant in without:
            await self.page.get_by_label(grant).uncheck()
        await self.press("Save")
        return await self.shown()

    async def shown(self) -> tuple[str, str]:
        """The key id and the text of the secret that is shown."""
        text = await self.page.locator("#shown-once").inner_text()
        return await self.page.locator("#key-id").inner_text(), text


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two processes of the site, with one Valkey, one database and one operator."""
    database = tmp_path_factory.mktemp("database") / "db.sqlite3"
    with valkey() as redis:
        env = environment(REDIS_URL=redis.connection_url, DATABASE_URL=f"sqlite:///{database}")
        prepare(env)
        with (
            daphne(env, "tests.sites.strict:application") as one,
            daphne(env, "tests.sites.strict:application") as other,
        ):
            yield [one, other]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(processes: list[Server]) -> AsyncIterator[list[Service]]:
    """What clients see of each process."""
    async with service_of(processes[:1], 403) as one, service_of(processes[1:], 403) as other:
        yield [one, other]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(browser: Browser, processes: list[Server]) -> AsyncIterator[Desk]:
    async with at_a_desk(browser, processes[0]) as found:
        yield Desk(found.page, found.url)


def token(kid: str, text: str) -> str:
    """A token as a product would sign it that has copied a secret."""
    return jwt.encode({"userId": "ann"}, text, algorithm="HS256", headers={"kid": kid})


async def answers(services: list[Service], jwt_text: str, wanted: dict[str, int]) -> None:
    """Returns when both doors of both processes answer a token so. The others are told of a change, and soon see it."""

    async def are_as_wanted() -> bool:
        statuses = [{door: await service.status(door, bearer(jwt_text)) for door in DOORS} for service in services]
        return statuses == [wanted] * len(services)

    await until(are_as_wanted)


async def test_a_secret_made_in_the_browser_is_copied_and_its_tokens_are_accepted_everywhere(
    desk: Desk, services: list[Service]
) -> None:
    kid, text = await desk.add("chat backend")
    await desk.press("Copy")
    await desk.page.get_by_text("Copied.").wait_for()
    assert await desk.page.evaluate("navigator.clipboard.readText()") == text
    await desk.press("Copy the key id")
    await desk.page.locator("#copied-key-id").get_by_text("Copied.").wait_for()
    assert await desk.page.evaluate("navigator.clipboard.readText()") == kid
    await answers(services, token(kid, text), OPEN)
    await answers(services, token(kid, f"{text}x"), SHUT)
    await desk.follow("Done")
    assert text not in await desk.page.content()
    assert kid in await desk.page.content()


async def test_loading_the_page_again_that_shows_a_secret_goes_to_the_secret_and_makes_no_other(desk: Desk) -> None:
    kid, text = await desk.add("shown once")
    await desk.page.reload()
    assert await desk.page.locator(".field-kid .readonly").inner_text() == kid
    assert text not in await desk.page.content()
    await desk.goto(f"{LIST}?q=shown+once")
    assert await desk.page.locator("#result_list tbody tr").count() == 1


async def test_a_given_secret_is_shown_with_each_of_its_blanks(desk: Desk) -> None:
    given = "two  blanks in a row, and thirty-two bytes"
    await desk.goto(f"{LIST}add/")
    await desk.page.get_by_label("Name:").fill("with blanks")
    await desk.page.get_by_label("Secret:").fill(given)
    await desk.press("Save")
    assert (await desk.shown())[1] == given


async def test_the_dates_of_a_secret_are_changed_also_after_an_error_and_by_nobody_who_did_not_touch_them(
    desk: Desk, services: list[Service]
) -> None:
    page = desk.page
    changed = token(*await desk.add("with dates"))
    await answers(services, changed, OPEN)
    await desk.follow("Done")
    left_open = await page.context.new_page()
    await left_open.goto(page.url)
    form = page.url
    for year in ("1999", "2999"):  # before it begins, and then one that will do
        await page.locator("#id_valid_until_0").fill(f"{year}-12-31")
        await page.locator("#id_valid_until_1").fill("12:30:00")
        await page.locator("#id_note").fill("one line\nand another")
        await desk.press("Save and continue editing")
        await page.get_by_text(
            {"1999": "It ends before it begins.", "2999": "was changed successfully"}[year]
        ).wait_for()
    assert await page.locator("#id_valid_until_0").input_value() == "2999-12-31"
    await left_open.locator("#id_name").fill("renamed")
    await left_open.get_by_role("button", name="Save", exact=True).click()
    await left_open.get_by_text("was changed successfully").wait_for()
    await left_open.close()
    await page.goto(form)
    shown = [
        await page.locator(f"#id_{field}").input_value() for field in ("name", "valid_until_0", "valid_until_1", "note")
    ]
    assert shown == ["renamed", "2999-12-31", "12:30:00", "one line\nand another"]
    await answers(services, changed, OPEN)
    await page.goto(form.replace("change/", "history/"))
    history = await page.locator("#change-history tbody td:last-child").all_inner_texts()
    assert sorted(history) == ["Added.", "Changed Name.", "Changed Note and Valid until."]


async def test_the_list_fits_beside_its_filters_whatever_names_people_have(desk: Desk) -> None:
    await desk.add("w" * 100)
    await desk.follow("Done")
    assert await desk.page.evaluate("document.documentElement.scrollWidth") <= 1280
    await desk.goto(LIST)
    widths = "(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])(document.querySelector('.results'))"
    needed, given = await desk.page.evaluate(widths)
    assert needed <= given


async def test_without_the_clipboard_the_button_selects_the_secret_and_says_what_to_press(desk: Desk) -> None:
    _, text = await desk.add("no clipboard")
    await desk.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    await desk.press("Copy")
    await desk.page.get_by_text("press Ctrl+C").wait_for()
    assert await desk.page.evaluate("String(getSelection())") == text


@pytest.mark.parametrize(
    ("without", "wanted"),
    [("May publish", {"socket": 101, "publish": 403}), ("May connect", {"socket": 403, "publish": 200})],
)
async def test_a_secret_opens_the_doors_that_it_may_and_no_other(
    desk: Desk, services: list[Service], without: str, wanted: dict[str, int]
) -> None:
    await answers(services, token(*await desk.add("half", without)), wanted)


async def test_after_a_rotation_both_secrets_are_accepted_until_the_overlap_ends(
    desk: Desk, services: list[Service]
) -> None:
    old = token(*await desk.add("browsers"))
    await answers(services, old, OPEN)
    await desk.follow("Done")
    form = desk.page.url
    await desk.follow("Rotate")
    await desk.press("Rotate")
    new = token(*await desk.shown())
    await answers(services, new, OPEN)
    await answers(services, old, OPEN)
    await desk.page.goto(form)
    await desk.follow("Rotate")
    await desk.page.get_by_label("Overlap:").select_option("none, the old one ends now")
    await desk.press("Rotate")
    newest = token(*await desk.shown())
    await answers(services, newest, OPEN)
    await answers(services, old, SHUT)
    await answers(services, new, OPEN)


async def test_revoking_a_secret_closes_the_sockets_that_it_let_in_and_lets_in_no_other(
    desk: Desk, services: list[Service]
) -> None:
    leaked, other = token(*await desk.add("leaked")), token(*await desk.add("kept"))
    await answers(services, leaked, OPEN)
    await answers(services, other, OPEN)
    async with (
        services[0].connect("ann", jwt_text=leaked) as here,
        services[1].connect("ann", jwt_text=leaked) as there,
        services[1].connect("ann", jwt_text=other) as kept,
    ):
        await desk.goto(f"{LIST}?q=leaked")
        await desk.follow("leaked")
        await desk.follow("Revoke")
        await desk.press("Revoke")
        assert [await closed(socket) for socket in (here, there)] == [CloseCode.SECRET_REVOKED] * 2
        await desk.page.get_by_text("Closed 2 sockets that it had let in.").wait_for()
        await answers(services, leaked, SHUT)
        await answers(services, other, OPEN)
        await kept.settle()
    await desk.goto(f"{LIST}?state=revoked")
    assert await desk.page.locator("#result_list .realtime-revoked").all_inner_texts() == ["revoked"]


async def test_revoking_without_closing_leaves_the_sockets_to_be_closed_later(
    desk: Desk, services: list[Service]
) -> None:
    leaving = token(*await desk.add("leaving"))
    await answers(services, leaving, OPEN)
    async with services[1].connect("ann", jwt_text=leaving) as socket:
        await desk.follow("Done")
        await desk.follow("Revoke")
        await desk.page.get_by_label("Close the sockets that it let in").uncheck()
        await desk.press("Revoke")
        await answers(services, leaving, SHUT)
        await socket.settle()
        await desk.follow("Close its sockets")
        await desk.press("Close its sockets")
        assert await closed(socket) == CloseCode.SECRET_REVOKED


async def test_a_deleted_secret_is_refused_at_once(desk: Desk, services: list[Service]) -> None:
    gone = token(*await desk.add("gone"))
    await answers(services, gone, OPEN)
    await desk.follow("Done")
    await desk.follow("Delete")
    await desk.press("Yes, I’m sure")
    await answers(services, gone, SHUT)


async def test_a_test_token_opens_both_doors_and_its_secret_is_seen_to_be_in_use(
    desk: Desk, services: list[Service]
) -> None:
    await desk.add("tried out")
    await desk.follow("Done")
    form = desk.page.url
    await desk.follow("Test token")
    await desk.page.get_by_label("User:").fill("ann")
    await desk.press("Sign a token")
    await answers(services, await desk.page.locator("#shown-once").inner_text(), OPEN)
    assert re.search(r"Valid for\s+900 seconds", await desk.page.locator("dl").inner_text())
    await desk.add("another")  # a change makes the processes look at the secrets, and write which have been used

    async def is_in_use() -> bool:
        await desk.page.goto(form)
        return await desk.page.locator(".realtime-in-use").count() == 1

    await until(is_in_use)


CONTRAST = """() => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = colour => channels(colour).slice(0, 3)
        .map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const background = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return channels(colour)[3] === 0 ? background(element.parentElement) : colour;
    };
    const contrast = (one, other) => {
        const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };
    const worst = (elements, colour) => Math.min(21, ...elements.map(e => contrast(colour(e), background(e))));
    const badges = [...document.querySelectorAll(".realtime-badge")];
    const words = [...badges, ...document.querySelectorAll(".realtime-quiet, .realtime-note, .realtime-once code")];
    return [
        worst(words, element => getComputedStyle(element).color),
        worst(badges, element => getComputedStyle(element, "::before").borderTopColor),
    ];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_are_readable_in_light_and_dark_and_fit_on_a_phone(
    desk: Desk, scheme: Literal["light", "dark"]
) -> None:
    """Words have a contrast of 4.5 or more, the marks beside them of 3 (WCAG AA); only the list's table may scroll."""
    page = desk.page
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": 390, "height": 800})
    await desk.add("a look")
    await look_at(page)
    await desk.follow("Done")
    form = page.url.removesuffix("change/")
    for name in ("change", "rotate", "revoke", "token", "delete"):
        await page.goto(f"{form}{name}/")
        await look_at(page)
    for path in (LIST, f"{LIST}add/"):
        await desk.goto(path)
        await look_at(page)
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}[scheme]
    await page.set_viewport_size({"width": 1280, "height": 800})


async def look_at(page: Page) -> None:
    await page.wait_for_load_state()
    words, marks = await page.evaluate(CONTRAST)
    assert words >= 4.5, page.url
    assert marks >= 3, page.url
    assert await page.evaluate("document.documentElement.scrollWidth") == 390, page.url
