// Keeps the page fresh: fetches it again and puts in what has changed. The page is whole without this script.
(() => {
  "use strict";
  const EVERY_MS = 2000;
  const GUARD_MS = 600; // after rows have moved, a tap may have been meant for what stood there before
  const lost = document.getElementById("lost");
  let pressed = false;

  addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => { pressed = false; });

  const order = (node) => [...node.querySelectorAll("[data-alarm]")].map((row) => row.dataset.alarm).join("\n");

  const guard = (node) => {
    node.classList.add("moved");
    setTimeout(() => node.classList.remove("moved"), GUARD_MS);
  };

  const replace = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML) return;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const moved = order(old) !== order(fresh);
    old.replaceWith(fresh);
    if (moved) guard(fresh);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (document.hidden || pressed) return;
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (pressed) return;
      for (const part of fresh.querySelectorAll("[data-live]")) {
        const old = document.getElementById(part.id);
        if (old) replace(old, document.adoptNode(part));
      }
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  };

  const again = async () => { await refresh(); setTimeout(again, EVERY_MS); };
  setTimeout(again, EVERY_MS);
})();
