"use strict";
// Replaces the page's regions as the console sends them, without losing focus or animations.
(() => {
  const root = document.documentElement;
  const freshness = document.getElementById("freshness");
  // The console says something at least every 2 s.
  const SILENCE_MS = 6000;
  let heard = Date.now();
  let away = false;
  // What the console said last of its own freshness, to be shown again after it was away.
  let said = freshness.innerHTML;

  const HOURS_MS = 18 * 3600 * 1000;
  // Made once: a formatter of its own for each of hundreds of times would be a long task.
  const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
  // A day of its own needs its date; the exact moment is in the title.
  const clock = (ms) => (Math.abs(Date.now() - ms) < HOURS_MS ? hour : day).format(ms);
  const csrf = root.dataset.csrf;
  const get = (id) => document.getElementById(id);

  function sameKind(a, b) {
    return a.nodeType === b.nodeType && a.nodeName === b.nodeName &&
      (a.nodeType !== Node.ELEMENT_NODE || a.getAttribute("data-key") === b.getAttribute("data-key"));
  }

  // Makes `old` look like `fresh`, keeping every element that is still of the same kind in the same
  // place, so that focus, open details and transitions survive.
  function morph(old, fresh) {
    // Most of a long list is as it was; times and what was opened differ, and are looked at one by one.
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // What the person opened stays open.
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    morphChildren(old, fresh);
  }

  function morphChildren(old, fresh) {
    let at = old.firstChild;
    for (const want of [...fresh.childNodes]) {
      const key = want.nodeType === Node.ELEMENT_NODE && want.getAttribute("data-key");
      if (key && !(at && sameKind(at, want))) {
        for (let later = at; later; later = later.nextSibling) {
          if (sameKind(later, want)) { old.insertBefore(later, at); at = later; break; }
        }
      }
      if (at && sameKind(at, want)) {
        const next = at.nextSibling;
        morph(at, want);
        at = next;
      } else {
        old.insertBefore(want, at);
      }
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  }

  function show(regions) {
    for (const [id, html] of Object.entries(regions)) {
      const region = document.getElementById(id);
      if (!region) continue;
      const fresh = document.createElement("template");
      fresh.innerHTML = html;
      morphChildren(region, fresh.content);
    }
    localTimes();
    filter();
  }

  function localTimes() {
    for (const time of document.querySelectorAll("[data-ms]")) {
      const text = clock(Number(time.dataset.ms));
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // What does not hold all the words is hidden; the words are in the address, to be shared.
  const field = get("filter");
  function filter() {
    if (!field) return;
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const item of document.querySelectorAll("#timeline .incident")) {
      const text = item.textContent.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      left += item.hidden ? 0 : 1;
    }
    const nothing = get("nothing-left");
    if (nothing) nothing.hidden = left > 0;
  }
  if (field) {
    field.value = new URLSearchParams(location.search).get("q") ?? "";
    field.addEventListener("input", () => {
      history.replaceState(null, "", field.value ? `?q=${encodeURIComponent(field.value)}` : location.pathname);
      filter();
    });
    filter();
  }

  let toastTimer = 0;
  function toast(text) {
    get("toast").textContent = text;
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => { get("toast").textContent = ""; }, 9000);
  }

  async function send(url, body, method = "POST") {
    const headers = { "Content-Type": "application/json", "X-Planaria-CSRF": csrf };
    const answer = await fetch(url, { method, headers, body: method === "DELETE" ? undefined : JSON.stringify(body) });
    if (answer.status === 204) return { ok: true, text: "Done." };
    const said = await answer.json().catch(() => ({ text: `The console answers ${answer.status}.` }));
    return { ok: answer.ok, status: answer.status, ...said };
  }

  // Shows what would happen, and does it when the person says so. What is refused stays, with its reason.
  async function ask(label, url, body) {
    if (!csrf) {
      location.href = `/account?next=${encodeURIComponent(location.pathname + location.search)}`;
      return;
    }
    const { method = "POST", ...wish } = body;
    const isAlert = url.startsWith("/api/v1/alerts/") || url.startsWith("/api/v1/tokens/");
    const dialog = get("ask"), yes = get("ask-yes"), again = get("ask-again"), more = get("ask-more"), input = get("ask-input");
    const refuse = (what, why) => {
      get("ask-refused").textContent = what;
      get("ask-why").textContent = why;
      get("ask-refusal").hidden = false;
      again.hidden = isAlert;
      yes.hidden = !isAlert;
      yes.disabled = !isAlert;
      (isAlert ? yes : again).focus();
    };
    const look = async () => {
      get("ask-refusal").hidden = true;
      again.hidden = true;
      yes.hidden = false;
      yes.disabled = !isAlert;
      get("ask-text").textContent = isAlert ? "" : "Looking at what would happen …";
      if (isAlert) { (more.hidden ? yes : input).focus(); return; }
      try {
        const seen = await send(url, { ...wish, dry_run: true }, method);
        if (!dialog.open) return;
        get("ask-text").textContent = seen.ok && seen.accepted ? seen.text : "";
        if (!seen.ok || !seen.accepted) { refuse("Nothing would be done.", seen.text); return; }
        yes.disabled = false;
        yes.focus();
      } catch { get("ask-text").textContent = ""; refuse("The console does not answer.", "Nothing was done. The page says how old it is."); }
    };
    get("ask-title").textContent = label;
    more.hidden = !("text" in wish);
    if ("text" in wish) { more.firstElementChild.textContent = "What is to be noted"; input.value = ""; }
    yes.className = /Attack|Fence|Undo|Run/.test(label) ? "danger" : "primary";
    again.onclick = look;
    yes.onclick = async () => {
      yes.disabled = true;
      if ("text" in wish) wish.text = input.value;
      try {
        const done = await send(url, wish, method);
        if (!done.ok || done.accepted === false) { get("ask-text").textContent = ""; refuse("Nothing was done.", done.text); return; }
        toast(isAlert ? `${label}: done.` : done.text);
        if (method === "DELETE") setTimeout(() => location.reload(), 600);
        dialog.close();
      } catch { refuse("The console does not answer.", "Nothing is known of what came of it."); }
    };
    dialog.showModal();
    await look();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button.act");
    if (button) ask(button.getAttribute("aria-label").trim(), button.dataset.url, JSON.parse(button.dataset.body));
  });
  get("ask").querySelector("form").addEventListener("submit", (event) => {
    // Enter in the note's field means: do it.
    if (event.submitter?.value !== "no") { event.preventDefault(); get("ask-yes").click(); }
  });
  get("attack")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = {};
    for (const name of ["fault", "target"]) {
      const value = get(name).value;
      if (value) body[name] = value;
    }
    ask(`Attack ${body.target ?? ""} ${body.fault ? `by ${body.fault}` : ""}`, event.target.dataset.url, body);
  });
  get("login")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = get("login-error");
    error.textContent = "";
    try {
      const said = await send("/api/v1/login", { password: get("password").value });
      if (said.ok) {
        // Only a path of this console; anything else would let a link lead away after the login.
        const next = new URLSearchParams(location.search).get("next") ?? "/";
        location.href = /^\/[A-Za-z]/.test(next) || next === "/" ? next : "/";
        return;
      }
      error.textContent = said.text;
    } catch { error.textContent = "The console does not answer."; }
    get("password").select();
  });
  get("logout")?.addEventListener("click", async () => { await send("/api/v1/logout", {}); location.reload(); });
  get("token")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const made = await send("/api/v1/tokens", { name: get("token-name").value });
    get("token-made").textContent = made.token ? `Shown this once: ${made.token}` : made.text;
  });

  function alive() {
    heard = Date.now();
    if (!away) return;
    away = false;
    root.removeAttribute("data-away");
    show({ freshness: said });
  }

  function lost() {
    if (away || Date.now() - heard < SILENCE_MS) return;
    away = true;
    root.setAttribute("data-away", "");
    const dot = document.createElement("span");
    dot.className = "dot bad";
    freshness.replaceChildren(dot, `stale since ${clock(heard)}: the console does not answer`);
  }

  const events = () => {
    const looking = new URLSearchParams({ view: root.dataset.view, seq: root.dataset.seq });
    if (root.dataset.member) looking.set("member", root.dataset.member);
    const source = new EventSource(`/events?${looking}`);
    source.addEventListener("regions", (event) => {
      const regions = JSON.parse(event.data);
      said = regions.freshness ?? said;
      alive();
      show(regions);
    });
    source.addEventListener("tick", alive);
    source.onerror = () => {
      // A refusal (all places taken) closes for good: ask again later.
      if (source.readyState === EventSource.CLOSED) setTimeout(events, 10000);
    };
  };

  const button = document.getElementById("theme");
  const isLight = () => root.dataset.theme === "light";
  const label = () => { button.textContent = isLight() ? "Dark theme" : "Light theme"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isLight() ? "dark" : "light";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* As above. */ }
    label();
  });
  label();
  localTimes();
  setInterval(lost, 1000);
  events();
})();
