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

  const clock = (ms) => new Date(ms).toLocaleTimeString();

  function sameKind(a, b) {
    return a.nodeType === b.nodeType && a.nodeName === b.nodeName &&
      (a.nodeType !== Node.ELEMENT_NODE || a.getAttribute("data-key") === b.getAttribute("data-key"));
  }

  // Makes `old` look like `fresh`, keeping every element that is still of the same kind in the same
  // place, so that focus, open details and transitions survive.
  function morph(old, fresh) {
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
  }

  function localTimes() {
    for (const time of document.querySelectorAll("time[data-ms]")) {
      time.textContent = clock(Number(time.dataset.ms));
    }
  }

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
    const source = new EventSource("/events");
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
  const light = window.matchMedia("(prefers-color-scheme: light)");
  const isLight = () => (root.dataset.theme ?? (light.matches ? "light" : "dark")) === "light";
  const label = () => { button.textContent = isLight() ? "Dark theme" : "Light theme"; };
  try {
    const kept = localStorage.getItem("theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch { /* Storage may be forbidden; the choice then lasts as long as the page. */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isLight() ? "dark" : "light";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* As above. */ }
    label();
  });
  light.addEventListener("change", label);
  label();
  localTimes();
  setInterval(lost, 1000);
  events();
})();
