"""Drives the console with a real Chromium: what a person sees and does while things break.

Usage: page.py URL PASSWORD PREFIX FOLDER. Exits 1 with what went wrong; pictures go to FOLDER.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request

from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

URL, PASSWORD, PREFIX, FOLDER = sys.argv[1:5]
SOON = 90
WIDTHS = (1440, 768, 390)
VIEWS = ("/", "/incidents", "/alerts", "/storage", "/chaos", "/account", f"/members/{PREFIX}worker-1", "/nowhere")


def docker(*words):
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


def api(path):
    with urllib.request.urlopen(URL + path, timeout=10) as answer:
        return json.load(answer)


def eventually(what, look, deadline=SOON):
    until = time.monotonic() + deadline
    reason = None
    while time.monotonic() < until:
        try:
            found = look()
            if found:
                return found
        except Exception as error:  # the page may be between two states
            reason = error
        time.sleep(0.1)
    raise SystemExit(f"after {deadline} s still not: {what} ({reason})")


class Page:
    def __init__(self):
        options = webdriver.ChromeOptions()
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-device-scale-factor=1"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = "/usr/bin/chromedriver" if os.path.exists("/usr/bin/chromedriver") else None
        self.it = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
        self.it.set_window_size(1440, 1000)

    def go(self, path):
        self.it.get(URL + path)

    def one(self, css):
        return self.it.find_element(By.CSS_SELECTOR, css)

    def text(self, css):
        return self.one(css).text

    def light(self, name):
        words = self.one(f'#ring a[data-key="{PREFIX}{name}"]').get_attribute("class").split()
        return next(word for word in words if word in ("good", "busy", "warn", "bad", "off"))

    def theme(self, name):
        self.it.execute_script("localStorage.setItem('theme', arguments[0]); document.documentElement.dataset.theme = arguments[0]", name)

    def size(self, width):
        # Chromium's window has a least width; the device metrics have none.
        self.it.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500})

    def pictures(self, what):
        for width in WIDTHS:
            self.size(width)
            for theme in ("dark", "light"):
                self.theme(theme)
                wide = self.it.execute_script("return document.documentElement.scrollWidth")
                if wide > width:
                    raise SystemExit(f"{what} at {width} px is {wide} px wide")
                self.it.save_screenshot(f"{FOLDER}/{what}-{width}-{theme}.png")
        self.size(1440)
        self.theme("dark")

    def foreseen(self):
        """What the dialog says would be done, and why nothing where nothing would be."""
        def look():
            if self.one("#ask-refusal").is_displayed():
                return None, self.text("#ask-why")
            yes = self.one("#ask-yes")
            return (self.text("#ask-text"), None) if yes.is_displayed() and yes.is_enabled() else None
        return eventually("the dialog says what would be done", look)

    def confirm(self):
        """What the dry run says is read, then it is done; the dialog closes."""
        said, why = self.foreseen()
        if why is not None:
            raise SystemExit(f"refused: {why}")
        self.one("#ask-yes").click()
        eventually("the dialog closes", lambda: not self.one("#ask").is_displayed())
        return said

    def attack(self, fault, target):
        """Asks until the monkey finds the group settled, as a person would; each reason is read on the page."""
        reasons = []
        until = time.monotonic() + 2 * SOON
        while time.monotonic() < until:
            Select(self.one("#fault")).select_by_value(fault)
            Select(self.one("#target")).select_by_value(target)
            self.one("#attack button").click()
            said, why = self.foreseen()
            if why is None:
                self.one("#ask-yes").click()
                eventually("the dialog says what came of it", lambda: not self.one("#ask").is_displayed() or self.one("#ask-refusal").is_displayed())
                if not self.one("#ask").is_displayed():
                    return said, reasons
                why = self.text("#ask-why")
            if not why or why in ("None", "undefined"):
                raise SystemExit("the dialog refuses and does not say why")
            if why not in reasons:
                reasons.append(why)
            self.one("#ask-no").click()
            time.sleep(1)
        raise SystemExit(f"the monkey never attacked {target} by {fault}: {reasons}")

    def settled(self):
        """Everyone well, by the console's own words."""
        def look():
            status = api("/api/v1/status")
            return status["leader"] and not status["tickets"] and all(m["state"] in ("alive", "patient") for m in status["members"])
        eventually("everyone is well", look, 2 * SOON)


def check_axe(page):
    axe = Axe()
    for path in VIEWS:
        page.go(path)
        for theme in ("dark", "light"):
            page.theme(theme)
            # Transitions of the theme would be measured half way.
            page.it.execute_script("document.getAnimations().forEach((one) => one.finish && one.effect.getTiming().iterations !== Infinity && one.finish())")
            found = axe.run(page.it)["violations"]
            grave = [one for one in found if one["impact"] in ("serious", "critical")]
            for one in grave:
                print(path, theme, one["id"], one["help"], [node["html"][:160] for node in one["nodes"][:3]])
            if grave:
                raise SystemExit(f"axe finds {len(grave)} grave things on {path} ({theme})")
    page.theme("dark")
    print(f"axe: {len(VIEWS)} views in both themes, nothing serious")


def gallery(page):
    """All views once, for a person to look at."""
    for path in VIEWS:
        page.go(path)
        for width, theme in ((1440, "dark"), (390, "light")):
            page.size(width)
            page.theme(theme)
            page.it.save_screenshot(f"{FOLDER}/view{path.replace('/', '-')}-{width}-{theme}.png")
    page.size(1440)
    page.theme("dark")


def log_in(page):
    page.go("/account")
    page.one("#password").send_keys("wrong")
    page.one("#login button").click()
    eventually("a wrong password is refused", lambda: "not the password" in page.text("#login-error"))
    page.one("#password").clear()
    page.one("#password").send_keys(PASSWORD)
    page.one("#login button").click()
    eventually("the overview", lambda: page.one("#verdict").is_displayed())


def a_death_is_seen_and_healed(page):
    name = f"{PREFIX}worker-1"
    page.go("/")
    eventually("the light is calm", lambda: page.light("worker-1") == "good")
    before = {one["id"] for one in api("/api/v1/incidents")["incidents"]}
    # Every class that the light takes, so that none is missed between two looks.
    page.it.execute_script("""
        const light = () => document.querySelector(`#ring a[data-key="${arguments[0]}"]`);
        const name = arguments[0]; window.seen = [];
        new MutationObserver(() => { const now = document.querySelector(`#ring a[data-key="${name}"]`)?.getAttribute("class");
          if (now && window.seen.at(-1)?.[0] !== now) window.seen.push([now, performance.now()]); })
          .observe(document.getElementById("ring"), { subtree: true, childList: true, attributes: true });
        void light;""", name)
    docker("kill", name)
    incident = eventually("its incident is told", lambda: next((one for one in api("/api/v1/incidents")["incidents"]
                                                                if one["name"] == name and one["id"] not in before), None))
    eventually("its light is calm again", lambda: page.light("worker-1") == "good")
    seen = page.it.execute_script("return window.seen")
    if not any("good" not in classes.split() for classes, _ in seen):
        raise SystemExit(f"the light never changed: {seen}")
    phases = [f"{word} {incident[word + '_ms']} ms" for word in ("detect", "order", "start") if incident[word + "_ms"] is not None and incident[word + "_ms"] < 1000]
    eventually("the page has the incident's own times", lambda: all(phase in page.text("#incidents") for phase in phases))
    page.go(f"/incidents/{incident['id']}")
    if name not in page.text("main"):
        raise SystemExit("an incident's own page does not name whom it is about")
    page.go(f"/incidents?q={PREFIX}worker-1%20killed")
    eventually("the filter is in the address", lambda: page.one("#timeline .incident").is_displayed())
    print(f"death: light {[classes for classes, _ in seen]}, {', '.join(phases)}")


def zones_buckets_and_the_scrub(page):
    name = f"{PREFIX}storage-node-1"
    zone = lambda text: docker("exec", name, "storage-node", "layout", "zone", name, text)
    zone("north")
    try:
        page.go("/")
        # Nodes are asked for their numbers every 10 s.
        eventually("the zone is a place on the ring", lambda: page.one("#ring .zone-name").get_attribute("textContent") == "north")
        page.go("/storage")
        row = f'#storage tr[data-key="{name}"]'
        eventually("the node's zone and its scrub are told", lambda: "north" in page.text(row) and "round" in page.text(row))
        if "BUCKETS" not in page.text("#storage").upper():
            raise SystemExit("the page does not say how many buckets there are")
    finally:
        zone("")
    page.go("/")
    eventually("the zone is gone", lambda: not page.it.find_elements(By.CSS_SELECTOR, "#ring .zone-name"))
    page.settled()


def a_reload_in_the_middle(page):
    page.settled()
    page.go("/")
    docker("kill", f"{PREFIX}storage-node-2")
    page.it.refresh()
    if not page.one("#verdict").text or not page.one("#ring svg").is_displayed():
        raise SystemExit("a page that is loaded in the middle of it is not whole")
    eventually("it is well again, live", lambda: page.light("storage-node-2") == "good" and "live" in page.text("#freshness"))
    page.settled()


def an_attack_and_its_undoing(page):
    monkey, name = f"{PREFIX}chaos_monkey", f"{PREFIX}worker-2"
    page.settled()
    page.go("/chaos")
    # What can never be done is refused, and the dialog says why.
    Select(page.one("#fault")).select_by_value("kill")
    Select(page.one("#target")).select_by_value(monkey)
    page.one("#attack button").click()
    _, refusal = page.foreseen()
    if not refusal or "the monkey itself" not in refusal and "at most" not in refusal:
        raise SystemExit(f"attacking the monkey was answered with {refusal!r}")
    page.it.save_screenshot(f"{FOLDER}/refusal.png")
    page.one("#ask-no").click()
    # Every experiment that the page offers is one that the monkey knows.
    for button in page.it.find_elements(By.CSS_SELECTOR, ".experiments button.act"):
        button.click()
        said, why = page.foreseen()
        if why is not None:
            raise SystemExit(f"the monkey does not know an experiment of the page: {why}")
        page.one("#ask-no").click()
    # Stopped as a person would: nobody but the monkey may bring it back, so that the undoing is the page's.
    said, reasons = page.attack("stop", name)
    if "would attack" not in said or name not in said:
        raise SystemExit(f"the dry run said {said!r}")
    undo = f'#chaos button[aria-label="Undo stop on {name}"]'
    eventually("it runs, with an undo of its own", lambda: page.one(undo).is_displayed())
    eventually("it is out", lambda: docker("inspect", "--format", "{{.State.Status}}", name).strip() == "exited")
    page.it.save_screenshot(f"{FOLDER}/running.png")
    page.one(undo).click()
    page.confirm()
    eventually("it is undone", lambda: docker("inspect", "--format", "{{.State.Status}}", name).strip() == "running")
    attack = eventually("its story is told to the end", lambda: next((one for one in api("/api/v1/chaos")["attacks"]
                                                                      if one["target"] == name and one["stage"] == "reverted"), None))
    if "a person undid it" not in attack["text"]:
        raise SystemExit(f"who undid it is not told: {attack}")
    eventually("the page has it too", lambda: "a person undid it" in page.text("#chaos table"))
    page.one('#chaos button[aria-label^="Undo all"]').click()
    page.confirm()
    page.settled()
    page.go("/account")
    audit = page.text("main")
    for word in ("attack", "revert", "login"):
        if word not in audit:
            raise SystemExit(f"the audit has no {word}: {audit}")
    print(f"attack: {attack['text']}; declined before: {reasons or 'never'}; the monkey itself: {refusal}")


def the_broker_dies(page):
    page.settled()
    before = {one["id"]: one["count"] for one in api("/api/v1/alerts")["alerts"]}
    page.go("/")
    # One that is killed is back before a picture is taken; a person's stop is left alone.
    docker("stop", "--time", "3", f"{PREFIX}rabbitmq")
    eventually("the page says so", lambda: "RabbitMQ is away" in page.text("#verdict") and "stale" in page.text("#freshness"))
    page.pictures("incident")
    docker("start", f"{PREFIX}rabbitmq")
    page.settled()
    page.go("/")
    docker("kill", f"{PREFIX}rabbitmq")
    eventually("the page sees the death too", lambda: "RabbitMQ is away" in page.text("#verdict"))
    page.settled()
    eventually("the page is live", lambda: "live" in page.text("#freshness"))
    new = [one for one in api("/api/v1/alerts")["alerts"] if one["count"] > before.get(one["id"], 0)]
    if [(one["kind"], one["severity"]) for one in new] != [("broker_down", "CRITICAL")]:
        raise SystemExit(f"one cause, one alert; but: {json.dumps(new, indent=1)}")
    members = len(api("/api/v1/status")["members"])
    if members < 8:
        raise SystemExit(f"with {members} members this shows little")
    alert = new[0]["id"]
    page.go("/alerts")
    page.one(f'#alert-{alert} button[aria-label^="Note"]').click()
    page.one("#ask-input").send_keys("it was us")
    page.confirm()
    page.one(f'#alert-{alert} button[aria-label^="Acknowledge"]').click()
    page.confirm()
    eventually("it is acknowledged", lambda: api(f"/api/v1/alerts/{alert}")["state"] in ("acknowledged", "resolved"))
    if api(f"/api/v1/alerts/{alert}")["state"] != "resolved":
        page.one(f'#alert-{alert} button[aria-label^="Resolve"]').click()
        page.confirm()
    eventually("it is resolved", lambda: api(f"/api/v1/alerts/{alert}")["state"] == "resolved")
    acts = [line["act"] for line in api(f"/api/v1/alerts/{alert}")["history"]]
    print(f"broker: {members} members, one alert ({alert}, CRITICAL), {len(new[0]['members'])} symptoms folded in; {acts}")


def main():
    os.makedirs(FOLDER, exist_ok=True)
    page = Page()
    try:
        page.settled()
        page.go("/")
        eventually("the page is live", lambda: "live" in page.text("#freshness"))
        eventually("the storage nodes are heard", lambda: "every chunk has its copies" in page.text("#verdict"))
        page.pictures("calm")
        for step in (log_in, check_axe, a_death_is_seen_and_healed, zones_buckets_and_the_scrub, a_reload_in_the_middle, an_attack_and_its_undoing, the_broker_dies, gallery):
            begun = time.monotonic()
            step(page)
            print(f"{step.__name__}: {time.monotonic() - begun:.0f} s")
        wrong = [line for line in page.it.get_log("browser") if line["level"] == "SEVERE" and "/nowhere" not in line["message"]
                 and "401" not in line["message"] and "/events" not in line["message"]]
        if wrong:
            raise SystemExit(f"the browser complains: {wrong}")
    except BaseException:
        page.it.save_screenshot(f"{FOLDER}/failure.png")
        raise
    finally:
        page.it.quit()


main()
