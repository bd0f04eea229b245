// A scanned code stands in the fragment, which a browser loses with a form: it is kept over the sign-in, in this tab alone.

const wanted = new URLSearchParams(location.search).get("next") || "";
if (location.hash.length > 1 && wanted.split("?")[0] === "/claim") {
  sessionStorage.setItem("claim-code", location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
}
