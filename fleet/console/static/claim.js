// The technician's page. It works without this file, but for scanning and the phone's position.
//
// A draft is kept at each change. What is sent again carries the same number, so that it is never done twice.

import { SiteMap } from "./claim_map.js";

const form = document.getElementById("claim"), field = (name) => form.elements[name];
const DRAFT = "claim-draft", CODE = "claim-code";
const PHOTO_SIDE = 1280, PHOTO_QUALITY = 0.72, AGAIN_MS = 4000, NEAR_KM = 5;
const $ = (id) => document.getElementById(id);
let photo = null, wasScanned = false;

// what was scanned: in the fragment, or kept over the sign-in

function takeCode() {
  const scanned = location.hash.slice(1) || sessionStorage.getItem(CODE) || "";
  sessionStorage.removeItem(CODE);
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (!scanned) return false;
  const [code, key = ""] = decodeURIComponent(scanned).split(".");
  field("code").value = code;
  field("key").value = key;
  wasScanned = true;
  showScanned();
  return true;
}

function showScanned() { $("scanned").hidden = !wasScanned; }

// site, its proposal for a name, and templates with their variables

function chooseSite() {
  const picked = field("site").selectedOptions[0], name = picked?.dataset.name || "", before = field("proposed").value;
  if (!field("gateway").value || field("gateway").value === before) field("gateway").value = name;
  field("proposed").value = name;
  const sector = picked?.dataset.sector;
  for (const option of field("template").options) {
    option.hidden = Boolean(sector && option.dataset.sector && option.dataset.sector !== sector);
  }
  map.look(picked?.dataset.lat ? { lat: Number(picked.dataset.lat), lon: Number(picked.dataset.lon) } : null);
}

function chooseTemplate() {
  for (const set of form.querySelectorAll("fieldset[data-template]")) {
    set.hidden = set.disabled = set.dataset.template !== field("template").value;
    for (const input of set.querySelectorAll("[data-required]")) input.required = !set.hidden;
  }
}

function findSite() {
  const wanted = $("find-site").value.trim().toLowerCase();
  for (const option of field("site").options) option.hidden = Boolean(wanted) && !option.text.toLowerCase().includes(wanted);
  const left = [...field("site").options].filter((option) => option.value && !option.hidden);
  if (wanted && left.length === 1) { field("site").value = left[0].value; chooseSite(); }
}

// position

const map = new SiteMap($("map"), (place) => {
  field("lat").value = place.lat.toFixed(6);
  field("lon").value = place.lon.toFixed(6);
  showPlace();
  keep();
});

function showPlace(within) {
  const lat = parseFloat(field("lat").value), lon = parseFloat(field("lon").value), words = $("place").dataset;
  const known = Number.isFinite(lat) && Number.isFinite(lon);
  map.put(known ? { lat, lon, within: within || 0 } : null);
  $("place").textContent = known
    ? `${lat.toFixed(6)}°, ${lon.toFixed(6)}°` + (within ? ` · ${words.within.replace("{m}", Math.round(within))}` : "")
    : words.none;
}

function locate() {
  $("place").textContent = $("place").dataset.asking;
  navigator.geolocation.getCurrentPosition(({ coords }) => {
    field("lat").value = coords.latitude.toFixed(6);
    field("lon").value = coords.longitude.toFixed(6);
    showPlace(coords.accuracy);
    nearestSite(coords);
    keep();
  }, () => { $("place").textContent = $("place").dataset.denied; }, { enableHighAccuracy: true, timeout: 15000, maximumAge: 30000 });
}

function nearestSite({ latitude, longitude }) {
  if (field("site").value) return;
  const away = (option) => Math.hypot(option.dataset.lat - latitude, (option.dataset.lon - longitude) * Math.cos(latitude * Math.PI / 180)) * 111.2;
  const near = [...field("site").options].filter((option) => option.dataset.lat && away(option) < NEAR_KM).sort((a, b) => away(a) - away(b));
  if (near.length) { field("site").value = near[0].value; chooseSite(); }
}

// photo: made smaller here, which also drops what the camera wrote into it

async function takePhoto() {
  const file = field("photo").files[0];
  photo = null;
  $("photo-ready").hidden = true;
  if (!file) return;
  try {
    const picture = await createImageBitmap(file), scale = Math.min(1, PHOTO_SIDE / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    photo = canvas.toDataURL("image/jpeg", PHOTO_QUALITY);
    showPhoto();
    keep();
  } catch { /* not a picture that this browser knows: it goes as it is, and the server says so */ }
}

function showPhoto() {
  $("photo-ready").hidden = !photo;
  if (photo) $("photo-ready").textContent = $("photo-ready").dataset.size.replace("{size}", `${Math.round(photo.length * 0.75 / 1024)} KiB`);
}

function toBlob(url) {
  const octets = Uint8Array.from(atob(url.split(",")[1]), (letter) => letter.charCodeAt(0));
  return new Blob([octets], { type: "image/jpeg" });
}

// draft

const LEFT_OUT = new Set(["csrf_token", "photo"]);

function keep() {
  const values = Object.fromEntries([...new FormData(form)].filter(([name]) => !LEFT_OUT.has(name)));
  try {
    localStorage.setItem(DRAFT, JSON.stringify({ values, photo }));
    say($("draft").dataset.saved);
  } catch {
    localStorage.removeItem(DRAFT); // no room, or not allowed: the page itself still has everything
  }
}

function readDraft() {
  try { return JSON.parse(localStorage.getItem(DRAFT) || "null"); } catch { return null; }
}

function putDraft(draft, code) {
  for (const [name, text] of Object.entries(draft.values)) if (field(name) && !(code && ["code", "key"].includes(name))) field(name).value = text;
  photo = draft.photo;
  refresh();
}

function dropDraft() { localStorage.removeItem(DRAFT); }

function say(text) { $("draft").textContent = text; }

// sending

let sending = false;

async function send() {
  if (sending || !form.reportValidity()) return;
  sending = true;
  $("send").disabled = true;
  const body = new FormData(form);
  if (photo) body.set("photo", toBlob(photo), "photo.jpg");
  for (;;) {
    say($("draft").dataset.sending);
    try {
      const answer = await fetch(form.action, { method: "POST", body });
      if (answer.redirected) { if (answer.ok && !answer.url.includes("/sign-in")) dropDraft(); location.href = answer.url; return; }
      if (answer.status < 500) { await showAnswer(answer); break; }
    } catch { /* no connection */ }
    say($("draft").dataset.offline);
    await new Promise((done) => { setTimeout(done, AGAIN_MS); addEventListener("online", done, { once: true }); });
  }
  sending = false;
  $("send").disabled = false;
}

async function showAnswer(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html"), trouble = $("trouble");
  trouble.textContent = page.getElementById("trouble")?.textContent.trim() || page.querySelector("main")?.textContent.trim() || answer.statusText;
  trouble.hidden = false;
  trouble.scrollIntoView({ block: "center" });
  say("");
}

// beginning

function refresh() {
  chooseSite();
  chooseTemplate();
  showPlace();
  showPhoto();
  showScanned();
}

const draft = readDraft(), scanned = takeCode();
if (draft) {
  $("kept").hidden = false;
  $("take-draft").addEventListener("click", () => { putDraft(draft, scanned); $("kept").hidden = true; });
  $("drop-draft").addEventListener("click", () => { dropDraft(); $("kept").hidden = true; });
}
if ($("find-site")) { $("find-site").hidden = false; $("find-site").addEventListener("input", findSite); }
field("site").addEventListener("change", chooseSite);
field("template").addEventListener("change", chooseTemplate);
field("photo").addEventListener("change", takePhoto);
field("code").addEventListener("input", () => { field("key").value = ""; wasScanned = false; showScanned(); });
for (const name of ["lat", "lon"]) field(name).addEventListener("input", () => showPlace());
if ("geolocation" in navigator) { $("locate").hidden = false; $("locate").addEventListener("click", locate); }
form.addEventListener("input", keep);
form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("map").hidden = false;
refresh();
