// A signature drawn with the finger: kept as lines on a field of 1000 by 1000, so that it is small and sharp in print.

const canvas = document.getElementById("canvas"), pen = canvas.getContext("2d"), kept = document.getElementById("strokes");
const FIELD = 1000;
let strokes = [], stroke = null;

document.getElementById("pad").hidden = false;

const at = (event) => {
  const box = canvas.getBoundingClientRect(), on = (value) => Math.min(Math.max(Math.round(value * FIELD), 0), FIELD);
  return [on((event.clientX - box.left) / box.width), on((event.clientY - box.top) / box.height)];
};

function redraw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.lineWidth = 4;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "#1f2a33";
  for (const line of strokes) {
    pen.beginPath();
    for (const [x, y] of line) pen.lineTo(x / FIELD * canvas.width, y / FIELD * canvas.height);
    pen.stroke();
  }
  kept.value = strokes.length ? JSON.stringify(strokes) : "";
}

canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); stroke = [at(event)]; strokes.push(stroke); redraw(); });
canvas.addEventListener("pointermove", (event) => {
  if (!stroke) return;
  const point = at(event), last = stroke[stroke.length - 1];
  if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= 6) { stroke.push(point); redraw(); }
});
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { stroke = null; });
document.getElementById("wipe").addEventListener("click", () => { strokes = []; redraw(); });
