// Draws the history of a tag with uPlot in place of the still picture that the server sent.

const box = document.getElementById("chart");
const words = JSON.parse(box.dataset.words);
const unit = box.dataset.unit;
const zone = box.dataset.zone;
const two = (n) => String(n).padStart(2, "0");
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

let plot = null, series = null;

const local = (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone);
const clock = (d, withSeconds) => `${two(d.getHours())}:${two(d.getMinutes())}${withSeconds ? ":" + two(d.getSeconds()) : ""}`;
const day = (d) => `${two(d.getMonth() + 1)}-${two(d.getDate())}`;

function writeTick(seconds, step) {
  const d = local(seconds);
  if (step >= 86400) return day(d);
  if (step >= 60) return d.getHours() === 0 && d.getMinutes() === 0 ? day(d) : clock(d, false);
  return clock(d, true);
}

function writeValue(value) {
  if (value == null) return "—";
  const text = value.toLocaleString("en", { minimumFractionDigits: series.decimals, maximumFractionDigits: series.decimals });
  return unit ? `${text} ${unit}` : text;
}

function drawLimits(u) {
  const { ctx } = u, ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.lineWidth = ratio;
  ctx.setLineDash([4 * ratio, 4 * ratio]);
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.font = `${11 * ratio}px ${color("--face")}`;
  for (const limit of series.limits) {
    const y = Math.round(u.valToPos(limit.limit, "y", true)) + 0.5; // on a pixel, not between two
    if (y < u.bbox.top || y > u.bbox.top + u.bbox.height) continue;
    ctx.strokeStyle = color(`--p${limit.priority}`);
    ctx.fillStyle = color(`--p${limit.priority}-ink`);
    ctx.beginPath();
    ctx.moveTo(u.bbox.left, y);
    ctx.lineTo(u.bbox.left + u.bbox.width, y);
    ctx.stroke();
    ctx.fillText(limit.text, u.bbox.left + 6 * ratio, y - 2 * ratio);
  }
  ctx.restore();
}

// A limit is shown if it is near what was measured; far ones would flatten the curve.
function findRange(u, low, high) {
  if (low == null) return [0, 1];
  const reach = high - low || Math.abs(high) * 0.02 || 1;
  for (const { limit } of series.limits) {
    if (limit >= low - reach && limit <= high + reach) { low = Math.min(low, limit); high = Math.max(high, limit); }
  }
  const pad = (high - low || reach) * 0.08;
  return [low - pad, high + pad];
}

function size() {
  return { width: box.clientWidth, height: matchMedia("(max-width: 760px)").matches ? 250 : 340 };
}

function draw() {
  plot?.destroy();
  const soft = color("--soft"), line = color("--line-soft"), accent = color("--accent");
  const face = `12px ${color("--face")}`;
  const axis = { stroke: soft, font: face, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  box.replaceChildren();
  plot = new uPlot({
    ...size(),
    tzDate: local,
    cursor: { y: false, points: { size: 6 } },
    legend: { live: true },
    scales: { x: { range: () => [series.begin, series.end] }, y: { range: findRange } },
    axes: [
      { ...axis, space: 84, values: (u, splits, i, space, step) => splits.map((t) => writeTick(t, step)) },
      { ...axis, size: 64, values: (u, splits) => splits.map((v) => v.toLocaleString("en", { maximumSignificantDigits: 6 })) },
    ],
    series: [
      { label: words.time, value: (u, t) => (t == null ? "—" : `${day(local(t))} ${clock(local(t), true)}`) },
      { label: words.high, stroke: "transparent", points: { show: false }, value: (u, v) => writeValue(v) },
      { label: words.low, stroke: "transparent", points: { show: false }, value: (u, v) => writeValue(v) },
      { label: words.mean, stroke: accent, width: 1.5, points: { show: false }, value: (u, v) => writeValue(v) },
    ],
    bands: [{ series: [1, 2], fill: color("--spread") }],
    hooks: { draw: [drawLimits] },
  }, [series.time, series.high, series.low, series.mean], box);
  box.dataset.drawn = "true";
}

async function read() {
  const answer = await fetch(box.dataset.series, { cache: "no-store" });
  if (!answer.ok || answer.redirected) return;
  series = await answer.json();
  if (!plot) draw();
  else plot.setData([series.time, series.high, series.low, series.mean]);
}

const REFRESH_S = { "10m": 5, "1h": 15, "24h": 120 };
box.dataset.keep = "";
await read();
const every = REFRESH_S[new URL(box.dataset.series, location.href).searchParams.get("span")];
if (every) setInterval(() => { if (!document.hidden) read().catch(() => {}); }, every * 1000);
new ResizeObserver(() => plot?.setSize(size())).observe(box);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => series && draw());
