// A plain map of our own: a grid in metres, the sites and gateways that are known, and where this one stands. North is up.
// Nothing is fetched for it. Within some kilometres a degree is a plane's length: lon by cos(lat).

const M_PER_DEGREE = 111200, WIDE = 400, HIGH = 300;
const SPANS_M = [40, 100, 200, 400, 1000, 2000, 5000, 20000];
const STEPS_M = [10, 20, 50, 100, 200, 500, 1000, 5000];
const draw = (kind, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

export class SiteMap {
  constructor(box, moved) {
    this.box = box;
    this.moved = moved;
    this.places = JSON.parse(box.dataset.places || "[]");
    this.words = JSON.parse(box.dataset.words || "{}");
    this.here = null;
    this.centre = this.places[0] ? { lat: this.places[0].lat, lon: this.places[0].lon } : null;
    this.span = 3;
    this.svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": this.words.here });
    const zoom = document.createElement("div");
    zoom.className = "zoom";
    for (const [sign, by] of [["+", -1], ["−", 1]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.addEventListener("click", () => { this.span = Math.min(Math.max(this.span + by, 0), SPANS_M.length - 1); this.redraw(); });
      zoom.append(button);
    }
    box.append(this.svg, zoom);
    this.svg.addEventListener("pointerdown", (event) => this.press(event));
    this.svg.addEventListener("pointermove", (event) => this.drag(event));
    this.svg.addEventListener("pointerup", (event) => this.lift(event));
    this.redraw();
  }

  // the site that was chosen
  look(centre) {
    if (centre && !this.here) this.centre = centre;
    this.redraw();
  }

  put(place) {
    this.here = place;
    if (place && (!this.centre || this.isOff(place))) this.centre = { lat: place.lat, lon: place.lon };
    this.redraw();
  }

  isOff(place) { const [x, y] = this.toXY(place); return x < 20 || y < 20 || x > WIDE - 20 || y > HIGH - 20; }

  get perM() { return WIDE / SPANS_M[this.span]; }

  toXY({ lat, lon }) {
    const east = (lon - this.centre.lon) * M_PER_DEGREE * Math.cos(this.centre.lat * Math.PI / 180);
    return [WIDE / 2 + east * this.perM, HIGH / 2 - (lat - this.centre.lat) * M_PER_DEGREE * this.perM];
  }

  toPlace(x, y) {
    const lat = this.centre.lat + (HIGH / 2 - y) / this.perM / M_PER_DEGREE;
    const lon = this.centre.lon + (x - WIDE / 2) / this.perM / M_PER_DEGREE / Math.cos(this.centre.lat * Math.PI / 180);
    return { lat, lon };
  }

  at(event) {
    const box = this.svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * WIDE, (event.clientY - box.top) / box.height * HIGH];
  }

  // A tap puts the gateway there; drawing with the finger moves the map, from the gateway's own mark the mark.
  press(event) {
    if (!this.centre) return;
    this.svg.setPointerCapture(event.pointerId);
    const [x, y] = this.at(event), mark = this.here && this.toXY(this.here);
    this.held = { x, y, moved: false, mark: mark && Math.hypot(mark[0] - x, mark[1] - y) < 28, centre: { ...this.centre } };
  }

  drag(event) {
    if (!this.held) return;
    const [x, y] = this.at(event);
    if (Math.hypot(x - this.held.x, y - this.held.y) > 6) this.held.moved = true;
    if (!this.held.moved) return;
    if (this.held.mark) this.here = this.toPlace(x, y);
    else {
      this.centre = { ...this.held.centre };
      this.centre = this.toPlace(WIDE / 2 - (x - this.held.x), HIGH / 2 - (y - this.held.y));
    }
    this.redraw();
  }

  lift(event) {
    const held = this.held;
    this.held = null;
    if (!held || (held.moved && !held.mark)) return;
    this.moved(this.toPlace(...this.at(event)));
  }

  redraw() {
    this.svg.replaceChildren();
    if (!this.centre) return;
    const step = STEPS_M[this.span] * this.perM;
    for (let x = WIDE / 2 % step; x < WIDE; x += step) this.svg.append(draw("path", { class: "grid", d: `M${x} 0V${HIGH}` }));
    for (let y = HIGH / 2 % step; y < HIGH; y += step) this.svg.append(draw("path", { class: "grid", d: `M0 ${y}H${WIDE}` }));
    for (const place of this.places) this.svg.append(...this.drawPlace(place));
    if (this.here) {
      const [x, y] = this.toXY(this.here);
      if (this.here.within) this.svg.append(draw("circle", { class: "about", cx: x, cy: y, r: this.here.within * this.perM }));
      this.svg.append(draw("path", { class: "here", d: `M${x} ${y}c-10-12-14-16-14-24a14 14 0 1 1 28 0c0 8-4 12-14 24z` }));
    }
    this.svg.append(...this.drawScale(step));
  }

  drawPlace(place) {
    const [x, y] = this.toXY(place), label = draw("text", { x: x + 10, y: y + 4 }, place.name);
    if (place.kind === "site") return [draw("circle", { class: "site", cx: x, cy: y, r: Math.max(80 * this.perM, 8) }), draw("text", { x: x + 4, y: y - Math.max(80 * this.perM, 8) - 4 }, place.name)];
    return [draw("circle", { class: "gateway", cx: x, cy: y, r: 6 }), label];
  }

  drawScale(step) {
    const m = STEPS_M[this.span], text = m < 1000 ? `${m} ${this.words.m}` : `${m / 1000} ${this.words.km}`;
    return [draw("path", { class: "bar", d: `M12 ${HIGH - 16}v6h${step}v-6` }), draw("text", { x: 12, y: HIGH - 22 }, text),
      draw("path", { class: "bar", d: "M20 34V12l-6 8m6-8l6 8" }), draw("text", { x: 16, y: 48 }, "N")];
  }
}
