"use strict";
// Before the first paint, so that nothing flashes.
try {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch { /* Storage may be forbidden. */ }
