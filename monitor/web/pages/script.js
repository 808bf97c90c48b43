// Updates the status page: fetches the changing part, replaces the sections that changed, and counts ages.
"use strict";

(() => {
  const INTERVAL = 2000; // ms between the end of a request and the next one
  const TIMEOUT = 10000; // ms until a request without a response counts as failed
  const LOST_AFTER = 2; // failed requests in a row until the page says so

  const byId = (id) => document.getElementById(id);
  const title = document.title;
  let etag = "";
  let pending = null; // a fragment; some of its sections still wait, because the reader uses them
  let ahead = 0; // ms by which the monitor's clock is ahead of this one
  let responded = 0; // time of the last response, by this clock
  let failures = 0;
  let announced = "";
  let updating = false; // a request is in progress
  let again = false; // another request follows, because the reader has opened something meanwhile

  // A section that has the focus or part of the selection is not replaced: the reader uses it.
  function isUsed(section) {
    if (section.contains(document.activeElement) && document.activeElement !== document.body) {
      return true;
    }
    const selection = document.getSelection();
    return selection.rangeCount > 0 && !selection.isCollapsed && selection.containsNode(section, true);
  }

  const isFolded = (section) => section.querySelector(".on-demand") !== null; // it lacks its details

  // Whether the reader sees opened details in the section. What is open in a folded section is not seen.
  function hasOpened(section) {
    const details = section.querySelector(":scope > details");
    return details !== null ? details.open : section.querySelector("details[open]") !== null;
  }

  // The ids of the sections that the reader has opened, or in which the reader has opened something.
  function openedSections() {
    return [...document.querySelectorAll("[data-list] > section")].filter(hasOpened).map((section) => section.id);
  }

  // Keep what the reader has opened and scrolled.
  function keepView(old, fresh) {
    for (const details of old.querySelectorAll("details[id]")) {
      const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (same !== null) {
        same.open = details.open;
      }
    }
    for (const box of old.querySelectorAll("pre[id]")) {
      const same = fresh.querySelector(`#${CSS.escape(box.id)}`);
      const top = box.scrollTop;
      if (same !== null && top > 0) {
        requestAnimationFrame(() => { same.scrollTop = top; });
      }
    }
  }

  // The reader who opens a folded line has the focus on it: replace what is inside, and keep the line itself.
  function fill(section, fresh) {
    const [old, details] = [section, fresh].map((each) => each.querySelector("details"));
    const [line, freshLine] = [old, details].map((each) => each.querySelector("summary"));
    keepView(section, fresh);
    line.replaceChildren(...freshLine.childNodes);
    freshLine.remove();
    while (line.nextSibling !== null) {
      line.nextSibling.remove(); // removing the line itself would take the focus from it
    }
    old.append(...details.childNodes);
    for (const [name, value] of Object.entries(details.dataset)) {
      old.dataset[name] = value;
    }
    section.dataset.hash = fresh.dataset.hash;
  }

  // Whether the reader uses nothing of the section except its line, which stays if the section is filled.
  function canBeFilled(section, fresh) {
    const line = section.querySelector(":scope > details > summary");
    return line !== null && line === document.activeElement && document.getSelection().isCollapsed
      && fresh.querySelector(":scope > details > summary") !== null;
  }

  function replace(old, fresh) {
    keepView(old, fresh);
    old.replaceWith(fresh);
  }

  // Apply the sections of a fragment to one list; return whether all of them could be applied.
  function updateList(list, source) {
    let complete = true;
    const wanted = [...source.children];
    const ids = new Set(wanted.map((section) => section.id));
    for (const section of [...list.children]) {
      if (!ids.has(section.id)) {
        if (isUsed(section)) {
          complete = false;
        } else {
          section.remove();
        }
      }
    }
    let cursor = list.firstElementChild;
    for (const original of wanted) {
      let section = byId(original.id);
      if (section === null) {
        section = document.importNode(original, true);
      } else if (section.dataset.hash !== original.dataset.hash) {
        const fresh = document.importNode(original, true);
        if (isFolded(fresh) && !isFolded(section) && hasOpened(section)) {
          complete = false; // the reader has opened it after the request
        } else if (canBeFilled(section, fresh)) {
          fill(section, fresh);
        } else if (isUsed(section)) {
          complete = false;
        } else {
          cursor = cursor === section ? fresh : cursor;
          replace(section, fresh);
          section = fresh;
        }
      }
      const [line, freshLine] = [section, original].map((each) => each.querySelector(".line"));
      if (line !== null && freshLine !== null && line.textContent !== freshLine.textContent) {
        line.textContent = freshLine.textContent; // a countdown, which is not in the hash
      }
      if (section === cursor) {
        cursor = cursor.nextElementSibling;
      } else if (section.isConnected && isUsed(section)) {
        complete = false;
      } else {
        list.insertBefore(section, cursor);
      }
    }
    return complete;
  }

  function apply(source) {
    let complete = true;
    for (const list of document.querySelectorAll("[data-list]")) {
      complete = updateList(list, source.getElementById(list.id)) && complete;
    }
    pending = complete ? null : source;
    prepare();
  }

  // Everything that depends on the content and needs the script.
  function prepare() {
    for (const button of document.querySelectorAll("button.copy")) {
      button.hidden = false;
    }
    const about = document.querySelector("[data-title]");
    document.title = about === null ? title : about.dataset.title;
    const sentence = document.querySelector("#state h1");
    const text = sentence === null ? "" : sentence.textContent;
    const essence = text.replace(/[0-9]+/g, ""); // a countdown is not announced again
    if (announced !== "" && essence !== announced) {
      byId("announcement").textContent = text;
    }
    announced = essence;
    offerEnvironments();
    filter();
    countAges();
  }

  function offerEnvironments() {
    const select = byId("filter-environment");
    const offered = new Set([...select.options].map((option) => option.value));
    for (const incident of document.querySelectorAll(".incident")) {
      const name = incident.dataset.environment;
      if (!offered.has(name)) {
        offered.add(name);
        select.add(new Option(name, name));
      }
    }
    byId("filter").hidden = byId("incidents").children.length === 0;
  }

  function filter() {
    const environment = byId("filter-environment").value;
    const state = byId("filter-state").value;
    let shown = 0;
    for (const section of byId("incidents").children) {
      const incident = section.querySelector(".incident");
      const matches = (environment === "" || incident.dataset.environment === environment)
        && (state === "" || incident.dataset.state === state);
      section.hidden = !matches;
      shown += matches ? 1 : 0;
    }
    const none = byId("no-incidents");
    none.hidden = shown > 0;
    none.textContent = byId("incidents").children.length === 0 ? "No incidents." : "No incident matches the filter.";
  }

  function span(seconds) {
    const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const first = units.findIndex(([, size]) => seconds >= size);
    if (first === -1) {
      return "0 s";
    }
    const [name, size] = units[first];
    const parts = [`${Math.floor(seconds / size)} ${name}`];
    if (first + 1 < units.length) {
      const [smaller, smallerSize] = units[first + 1];
      const count = Math.floor((seconds % size) / smallerSize);
      if (count > 0) {
        parts.push(`${count} ${smaller}`);
      }
    }
    return parts.join(" ");
  }

  function countAges() {
    if (responded === 0) {
      return; // the monitor's clock is not known yet
    }
    const now = (Date.now() + ahead) / 1000;
    for (const element of document.querySelectorAll(".age")) {
      const age = Math.floor(now - Number(element.dataset.at));
      const text = age >= 0 ? ` (${span(age)} ago)` : ` (in ${span(-age)})`;
      if (element.textContent !== text) {
        element.textContent = text;
      }
    }
    const updated = byId("updated");
    updated.hidden = false;
    updated.textContent = `Updates by itself; last response of the monitor ${span(Math.floor((Date.now() - responded) / 1000))} ago.`;
  }

  function lost(why) {
    failures += 1;
    if (failures < LOST_AFTER) {
      return;
    }
    const since = responded === 0 ? "since this page was opened" : `since ${new Date(responded).toLocaleTimeString()}`;
    const text = `The monitor has not responded ${since} (${why}). The page shows the state of then.`;
    const element = byId("lost");
    if (element.textContent !== text) {
      element.textContent = text;
    }
    document.title = "no response · tigr-monitor";
  }

  function respondedAgain(response) {
    const date = Date.parse(response.headers.get("date") ?? "");
    responded = Date.now();
    if (!Number.isNaN(date)) {
      ahead = date - responded;
    }
    if (failures > 0) {
      failures = 0;
      byId("lost").textContent = "";
      prepare();
    }
  }

  async function request() {
    const opened = new URLSearchParams(openedSections().map((id) => ["open", id]));
    const headers = etag === "" ? {} : { "If-None-Match": etag };
    let response = null;
    let text = "";
    try {
      response = await fetch(`fragment?${opened}`, { headers, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
      text = response.status === 200 ? await response.text() : "";
    } catch (error) {
      lost(error.name === "TimeoutError" ? "no response in time" : "no connection");
      return;
    }
    if (response.status !== 200 && response.status !== 304) {
      lost(`status ${response.status}`);
      return;
    }
    respondedAgain(response);
    if (response.status === 200) {
      etag = response.headers.get("etag") ?? "";
      const source = new DOMParser().parseFromString(text, "text/html");
      const version = source.querySelector("[data-version]").dataset.version;
      if (version !== document.querySelector("[data-version]").dataset.version) {
        location.reload(); // another version of the monitor has another script
        return;
      }
      apply(source);
    } else if (pending !== null) {
      apply(pending);
    }
  }

  // One request at a time: responses are applied in the order of the requests.
  async function update() {
    if (updating) {
      again = true;
      return;
    }
    updating = true;
    try {
      do {
        again = false;
        await request();
      } while (again);
    } finally {
      updating = false;
    }
  }

  async function run() {
    if (!document.hidden) {
      await update();
    }
    setTimeout(run, INTERVAL);
  }

  // Over plain http there is no `navigator.clipboard`: select the text and copy the selection.
  function copy(button) {
    const box = byId(button.dataset.copy);
    const report = button.parentElement.querySelector("[role=status]");
    const selection = document.getSelection();
    const range = document.createRange();
    range.selectNodeContents(box);
    selection.removeAllRanges();
    selection.addRange(range);
    if (document.execCommand("copy")) {
      selection.removeAllRanges();
      report.textContent = "Copied.";
    } else {
      report.textContent = "Not copied: the text is selected; press Ctrl+C.";
    }
  }

  function openTarget() {
    const target = location.hash === "" ? null : byId(location.hash.slice(1));
    const details = target === null ? null : target.querySelector("details");
    if (details !== null) {
      details.open = true;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (button !== null) {
      copy(button);
    }
  });
  // The event does not bubble.
  document.addEventListener("toggle", (event) => {
    const section = event.target.closest("[data-list] > section");
    if (section !== null && event.target.open && isFolded(section)) {
      update();
    }
  }, true);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      update();
    }
  });
  addEventListener("hashchange", openTarget);
  byId("filter").addEventListener("change", filter);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  setInterval(countAges, 1000);
  prepare();
  openTarget();
  run();
})();
