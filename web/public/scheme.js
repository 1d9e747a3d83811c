// Before anything is drawn, so that a dark page does not begin with a white flash. A file, for the policy forbids inline code.
(() => {
  var chosen = null;
  try {
    chosen = localStorage.getItem("mantine-color-scheme-value");
  } catch (_) {
    chosen = null; // storage may be forbidden: then the system's choice holds
  }
  var dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
