// What HTML and htmx cannot do by themselves. Everything works without it, only less conveniently.
"use strict";

(() => {
  const EVERY_MS = 5000;

  // Parts with hx-trigger="refresh from:body" ask for news, while somebody can see them.
  const refresh = () => {
    if (document.visibilityState === "visible") document.body.dispatchEvent(new Event("refresh"));
  };
  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);

  // What somebody has opened stays open when its message is shown anew.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    for (const opened of event.detail.target.querySelectorAll("details[id][open]")) {
      const same = event.detail.fragment.querySelector(`#${CSS.escape(opened.id)}`);
      if (same) same.open = true;
    }
  });

  document.addEventListener("click", async (event) => {
    // <button data-copy="text" data-copied="words">
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      await navigator.clipboard.writeText(copy.dataset.copy);
      const before = copy.textContent;
      copy.textContent = copy.dataset.copied;
      setTimeout(() => { copy.textContent = before; }, 2000);
    }
    // an open menu closes when something else is clicked
    for (const menu of document.querySelectorAll("details.account[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.account[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();
