"""How soon a browser paints the console, and its longest task. Usage: paint.py URL ROUNDS. Prints JSON, in milliseconds."""

import json
import os
import statistics
import sys
import time

from selenium import webdriver

URL, ROUNDS = sys.argv[1], int(sys.argv[2])

options = webdriver.ChromeOptions()
for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
    options.add_argument(flag)
driver = "/usr/bin/chromedriver" if os.path.exists("/usr/bin/chromedriver") else None
browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
# From the first script on, so that the parsing of the page counts too.
browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
    window.tasks = [];
    new PerformanceObserver((list) => { for (const one of list.getEntries()) window.tasks.push(one.duration); })
        .observe({ type: "longtask", buffered: true });"""})
try:
    paints, tasks = [], []
    for _ in range(ROUNDS):
        browser.get(URL)
        until = time.monotonic() + 10
        paint = None
        while paint is None and time.monotonic() < until:
            paint = browser.execute_script("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
        if paint is None:
            raise SystemExit("nothing was painted")
        # Live for a while: its redraws are tasks as well.
        time.sleep(2)
        paints.append(paint)
        tasks.append(max(browser.execute_script("return window.tasks"), default=0))
    paints.sort()
    print(json.dumps({"first_paint_median": statistics.median(paints), "first_paint_max": paints[-1],
                      "longest_task_median": statistics.median(tasks), "longest_task_max": max(tasks)}))
finally:
    browser.quit()
