// Keeps a page current without a reload. Every page is complete without this file.
//
// An event stream (data-events on <main>) sends two events:
//   tags     {tag: what is drawn of it}   put on the page at once
//   changed  {}                           the page is read again and the differences are put in place

const main = document.getElementById("main");
const pulse = () => document.getElementById("pulse");
const QUIET_MS = 2000; // shortest time between two readings of the page
const LOST_AFTER_MS = 6000; // a stream ends once a minute and comes back by itself: only longer counts as lost

let words = {};
let skew = 0;

function readClock() {
  words = JSON.parse(main.dataset.words || "{}");
  if (main.dataset.now) skew = Number(main.dataset.now) - Date.now();
}

const now = () => Date.now() + skew;
const two = (n) => String(n).padStart(2, "0");

function writeDuration(ms) {
  const s = Math.max(Math.floor(ms / 1000), 0), m = Math.floor(s / 60), h = Math.floor(s / 3600), d = Math.floor(s / 86400);
  if (h < 1) return `${two(m)}:${two(s % 60)}`;
  if (d < 1) return `${h} ${words.h} ${two(m % 60)} ${words.min}`;
  return `${d} ${words.d} ${h % 24} ${words.h}`;
}

function writeAge(ms) {
  const s = Math.max(ms / 1000, 0);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 60) return `${s.toFixed(0)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} ${words.min}`;
  if (s < 86400) return `${Math.floor(s / 3600)} ${words.h}`;
  return `${Math.floor(s / 86400)} ${words.d}`;
}

function setText(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

function tick() {
  for (const node of main.querySelectorAll("time[data-since]")) setText(node, writeDuration(now() - Number(node.dataset.since)));
  for (const node of main.querySelectorAll("time[data-age]")) {
    if (node.dataset.age) setText(node, writeAge(now() - Number(node.dataset.age)));
  }
}

// one tag

function putTag(row, change) {
  const value = row.querySelector("[data-value]");
  setText(value, change.value);
  const quality = row.querySelector("[data-quality]");
  if (quality) {
    setText(quality, change.quality);
    quality.className = `word ${change.quality_class}`;
  }
  const age = row.querySelector("time[data-age]");
  if (age && change.at_ms !== null) age.dataset.age = change.at_ms;
  const bar = row.querySelector(".range");
  if (!bar) return;
  bar.setAttribute("aria-label", change.text);
  const pointer = bar.querySelector(".at");
  pointer.toggleAttribute("visibility", false);
  if (change.at === null) pointer.setAttribute("visibility", "hidden");
  else for (const end of ["x1", "x2"]) pointer.setAttribute(end, `${change.at}%`);
}

function putTags(changes) {
  for (const row of main.querySelectorAll("[data-tag]")) {
    if (row.dataset.tag in changes) putTag(row, changes[row.dataset.tag]);
  }
  tick();
}

// the whole page: only differences are touched, so focus, selection and scroll stay where they are

function morph(have, want) {
  if (have.nodeType !== want.nodeType || have.nodeName !== want.nodeName || have.id !== want.id) {
    have.replaceWith(document.importNode(want, true));
    return;
  }
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.nodeValue !== want.nodeValue) have.nodeValue = want.nodeValue;
    return;
  }
  if (have.hasAttribute("data-keep")) return;
  for (const { name } of [...have.attributes]) if (!want.hasAttribute(name)) have.removeAttribute(name);
  for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
  if (have.matches("input, select, textarea")) return; // what somebody is typing is theirs
  morphChildren(have, want);
}

// Children that have an id are found by it wherever they stand now: a row that comes in above leaves the others alone.
function morphChildren(have, want) {
  const after = [...want.childNodes], wanted = new Set(after.map((child) => child.id).filter(Boolean));
  const named = new Map([...have.children].filter((child) => child.id).map((child) => [child.id, child]));
  for (const [id, child] of named) if (!wanted.has(id)) child.remove();
  let at = have.firstChild;
  for (const child of after) {
    const kept = child.id ? named.get(child.id) : at && !at.id ? at : null;
    if (!kept) { have.insertBefore(document.importNode(child, true), at); continue; }
    if (kept === at) at = at.nextSibling;
    else have.insertBefore(kept, at);
    morph(kept, child);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

let reading = false, again = false, readAt = 0;

async function readPage() {
  if (reading) { again = true; return; }
  reading = true;
  const wait = readAt + QUIET_MS - Date.now();
  if (wait > 0) await new Promise((done) => setTimeout(done, wait));
  again = false;
  readAt = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": "1" }, cache: "no-store" });
    if (answer.redirected || answer.status === 401) location.reload(); // signed out meanwhile
    else if (answer.ok) putPage(await answer.text());
  } catch { /* the stream tells that the connection is lost */ }
  reading = false;
  if (again) readPage();
}

function putPage(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const state = pulse()?.dataset.state;
  for (const selector of ["#main", ".nav"]) {
    const have = document.querySelector(selector), want = page.querySelector(selector);
    if (have && want) morph(have, want);
  }
  readClock();
  if (state) showPulse(state);
  tick();
}

// the stream

function showPulse(state) {
  const node = pulse();
  if (!node) return;
  node.dataset.state = state;
  setText(node, state === "live" ? node.dataset.liveText : node.dataset.lostText);
}

let lost = 0;

function listen(address) {
  const stream = new EventSource(address);
  stream.addEventListener("open", () => { clearTimeout(lost); lost = 0; showPulse("live"); });
  stream.addEventListener("tags", (event) => putTags(JSON.parse(event.data)));
  stream.addEventListener("changed", readPage);
  stream.addEventListener("error", () => {
    if (!lost) lost = setTimeout(() => showPulse("lost"), LOST_AFTER_MS);
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => listen(address), 5000 + Math.random() * 5000);
  });
  addEventListener("pagehide", () => stream.close(), { once: true });
}

// a checkbox that picks all of a page

document.documentElement.classList.add("scripted");
main.addEventListener("change", ({ target }) => {
  if (!target.dataset.all) return;
  for (const box of main.querySelectorAll(`input[name="${target.dataset.all}"]`)) box.checked = target.checked;
});

readClock();
tick();
setInterval(tick, 1000);
if (main.dataset.events && "EventSource" in window) listen(main.dataset.events);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
