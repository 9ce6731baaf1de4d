"""The page in a browser: a history is typed by the keyboard alone, and a ranking with its reasons is seen."""

import shutil

import pytest

from recbole_marn.serving.exported import ExportedScorer
from recbole_marn.serving.histories import History

pytestmark = pytest.mark.slow
DESK, PHONE = (1280, 900), (390, 844)
QUIET = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]  # fmt: skip


@pytest.fixture(scope="module")
def service(exported, tmp_path_factory):
    """A service with photos of some items."""
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        pytest.importorskip(package, exc_type=ImportError)
    pictures = pytest.importorskip("PIL.Image")
    from service_process import Service

    folder = tmp_path_factory.mktemp("service")
    (folder / "photos").mkdir()
    for number in range(1, 20):
        colour = (40 + 11 * number, 90, 250 - 11 * number)
        pictures.new("RGB", (90, 120), colour).save(folder / "photos" / f"{number:03d}.png")
    running = Service(exported()[1], folder, "--photos", str(folder / "photos"))
    yield running
    assert running.stop() == 0


@pytest.fixture
def browser(tmp_path):
    driver = pytest.importorskip("selenium.webdriver")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("needs chromium and chromedriver")
    options = driver.ChromeOptions()
    options.binary_location = chromium
    for argument in [*QUIET, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = driver.Chrome(options=options, service=driver.ChromeService(chromedriver))
    opened.set_page_load_timeout(60)
    yield opened
    opened.quit()


def wait(browser, condition):
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 60, ignored_exceptions=[StaleElementReferenceException]).until(lambda _: condition())


def texts(browser, selector):
    return [found.text for found in browser.find_elements("css selector", selector)]


def ranked(browser, like):
    """Titles of the ranking, once the line above it is like that."""
    wait(browser, lambda: like in texts(browser, "#status")[0])
    return texts(browser, "#ranking .title")


def resize(browser, size):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size is PHONE,
    })  # fmt: skip


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_history_is_typed_and_a_ranking_is_seen(exported, service, browser, size, tmp_path):
    from selenium.webdriver.common.keys import Keys

    resize(browser, size)
    browser.get(service.address)
    alone = ranked(browser, "likeliest of 25 items")
    assert len(alone) == 10
    browser.switch_to.active_element.send_keys(Keys.TAB)
    field = browser.switch_to.active_element
    assert field.get_attribute("id") == "search"
    for number, item in enumerate(("003", "007"), start=1):
        field.send_keys(item, Keys.ENTER)
        wait(browser, lambda n=number: len(browser.find_elements("css selector", "#history li")) == n)
    wait(browser, lambda: texts(browser, "#ranking .title") not in ([], alone))
    scorer = ExportedScorer(exported()[1])
    now = scorer.facts.latest + 86400
    expected = scorer.top(
        History(["003", "007"], [now - 120, now - 60], ["view", "view"]), 10, time=now, unseen=True
    )
    wait(browser, lambda: texts(browser, "#ranking .probability") == [shown(p) for p in expected.probability])
    browser.execute_script("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
    wait(browser, lambda: browser.execute_script(
        "return [...document.images].length > 0 && [...document.images].every((i) => i.complete && i.naturalWidth > 0)"
    ))  # fmt: skip
    assert texts(browser, "#ranking .why dt") and "lacked that modality" in texts(browser, "#why")[0]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    browser.save_screenshot(str(tmp_path / "page.png"))
    remove = browser.find_element("css selector", "#history button")
    remove.send_keys(Keys.ENTER)
    wait(browser, lambda: len(browser.find_elements("css selector", "#history li")) == 1)
    assert browser.switch_to.active_element.get_attribute("aria-label").startswith("Remove ")
    assert not [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def shown(probability):
    return f"{100 * probability:.{2 if probability < 0.1 else 1}f} %"


def test_what_a_title_says_is_never_run(service, browser):
    import json
    import urllib.request

    body = {"items": [{"item": "evil", "fields": {"title": "<img src=x onerror=document.title='run'>"}}]}
    urllib.request.urlopen(urllib.request.Request(
        service.address + "/items", json.dumps(body).encode(), {"content-type": "application/json"}
    ))  # fmt: skip
    browser.get(service.address)
    ranked(browser, "likeliest of 26 items")
    browser.find_element("id", "search").send_keys("evil")
    wait(browser, lambda: "onerror" in "".join(texts(browser, "#found .title")))
    assert browser.title.startswith("What comes next?")
