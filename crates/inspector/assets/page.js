// What the page does beside htmx: walks through the checkpoints by keys and slider, and asks whether a list
// has changed: when it is told so, or else now and then. It makes no HTML of its own.
"use strict";
(() => {
  const ASK_EVERY_MS = 2000;
  const live = document.getElementById("live");
  const slider = document.getElementById("slider");
  const said = document.getElementById("said");
  const say = (text) => { said.textContent = text; };

  const rows = () => Array.from(document.querySelectorAll(".row > a"));
  const current = (list) => list.findIndex((row) => row.hasAttribute("aria-current"));

  // The slider's right end is the newest, which is the first of the list.
  const place = () => {
    if (!slider) return;
    const list = rows();
    slider.max = String(Math.max(list.length - 1, 0));
    const at = current(list);
    slider.value = String(list.length - 1 - Math.max(at, 0));
    slider.setAttribute("aria-valuetext", at < 0 ? "" : list[at].querySelector(".first").textContent);
  };

  const mark = (chosen) => {
    for (const row of rows()) {
      if (row === chosen) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    place();
  };

  const choose = (row) => {
    if (!row) return;
    mark(row);
    row.scrollIntoView({ block: "nearest" });
    row.click();
  };

  // One further down the list is one older. At its end the older ones are asked for.
  const walk = (by) => {
    const list = rows();
    const at = current(list);
    const next = list[at < 0 ? 0 : at + by];
    if (next) choose(next);
    else if (by > 0) document.querySelector(".older button")?.click();
  };

  let pending;
  slider?.addEventListener("input", () => {
    const list = rows();
    const row = list[list.length - 1 - Number(slider.value)];
    mark(row);
    row.scrollIntoView({ block: "nearest" });
    clearTimeout(pending);
    pending = setTimeout(() => row.click(), 60);
  });

  document.addEventListener("click", (event) => {
    const row = event.target.closest(".row > a");
    if (row) {
      if (live) delete live.dataset.follows;
      mark(row);
    }
    const step = event.target.closest("[data-walk]");
    if (step) walk(Number(step.dataset.walk));
  });

  const KEYS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1 };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing) {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.closest("details")?.setAttribute("open", "");
        search.focus();
      }
      return;
    }
    const by = KEYS[event.key];
    if (!by || typing || !slider) return;
    // In the checkpoint itself, arrows scroll.
    if (event.key.startsWith("Arrow") && event.target.closest("#detail")) return;
    event.preventDefault();
    const inList = event.target.closest(".row > a");
    walk(by);
    if (inList) rows()[current(rows())]?.focus();
  });

  // How long ago the times are for which that counts: the page has them in UTC.
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const ages = () => {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const at = Date.parse(time.textContent.replace(" ", "T"));
      const age = Math.max(0, (Date.now() - at) / 1000);
      const [unit, length] = UNITS.find(([, length]) => age >= length) ?? UNITS[3];
      if (Number.isFinite(age)) time.title = Math.floor(age / length) + " " + unit + " ago";
    }
  };
  setInterval(ages, 15000);
  ages();

  document.addEventListener("htmx:afterSettle", () => { place(); ages(); });
  // Of an answer that says what is wrong, the part that is asked for would be nothing, and take the place of
  // the button that asks for it.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { requestConfig, xhr } = event.detail;
    if (xhr.status < 400 || !requestConfig.elt.hasAttribute("hx-select")) return;
    event.detail.shouldSwap = false;
    say("The rest couldn't be loaded: try again.");
  });
  document.addEventListener("htmx:sendError", () => say("The page can't be reached."));
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (event.detail.xhr.status < 400) say("");
  });

  // Whether the list has changed. One of which older pages were opened isn't taken away.
  let asking = false;
  let again = false;
  const ask = async () => {
    if (document.hidden) return;
    if (asking) { again = true; return; }
    asking = true;
    try {
      await fetched();
    } finally {
      asking = false;
      if (again) { again = false; ask(); }
    }
  };

  const fetched = async () => {
    const link = live.dataset.poll;
    const join = link.includes("?") ? "&" : "?";
    let answer;
    try {
      answer = await fetch(link + join + "seen=" + live.dataset.seen, { credentials: "same-origin" });
    } catch {
      return say("The page can't be reached.");
    }
    if (answer.status >= 500) return say("The database doesn't answer. What is shown is as it was.");
    if (answer.status !== 200) {
      if (answer.status === 204) say("");
      return;
    }
    if (document.querySelector(".paged")) return say("There are new checkpoints: load the page again.");
    const chosen = document.querySelector(".row > a[aria-current]")?.getAttribute("href");
    const focused = document.activeElement?.closest?.(".row > a, .threads a")?.getAttribute("href");
    live.dataset.seen = answer.headers.get("x-seen") ?? "";
    htmx.swap(live, await answer.text(), { swapStyle: "innerHTML" });
    const link_to = (href) => Array.from(live.querySelectorAll("a")).find((a) => a.getAttribute("href") === href);
    if ("follows" in live.dataset) {
      const head = live.querySelector("circle.head")?.closest("a") ?? rows()[0];
      if (head && head.getAttribute("href") !== chosen) {
        choose(head);
        live.dataset.follows = "";
      } else mark(head);
    } else mark(link_to(chosen));
    if (focused) link_to(focused)?.focus();
    say("The list has changed.");
  };

  // Told of changes while it is seen. A browser opens few streams to a site, and a page that isn't seen
  // needs none. Where the server has no place for one more, the page asks, and tries again later.
  let events;
  let tries = 0;
  const told = (is_told) => { live.dataset.told = is_told ? "yes" : "no"; };
  const leave = () => { events?.close(); events = undefined; told(false); };
  const listen = () => {
    if (events && events.readyState !== EventSource.CLOSED) return;
    events = new EventSource(live.dataset.changes);
    events.onmessage = () => { told(true); ask(); };
    events.onerror = () => told(false);
  };
  if (live?.dataset.poll) {
    listen();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return leave();
      listen();
      ask();
    });
    setInterval(() => {
      if (live.dataset.told === "yes") return;
      ask();
      tries += 1;
      if (!document.hidden && tries % 15 === 0) listen();
    }, ASK_EVERY_MS);
  }
  document.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  place();
})();
