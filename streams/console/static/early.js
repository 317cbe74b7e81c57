// Runs before the first paint, so that nobody who chose dark is shown light first.
(() => {
  let theme = null;
  let language = null;
  try {
    theme = localStorage.getItem("henji.theme");
    language = localStorage.getItem("henji.language");
  } catch {
    // A browser that keeps nothing: its own wishes count.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  const wished = language ?? navigator.language ?? "en";
  document.documentElement.lang = wished.toLowerCase().startsWith("zh") ? "zh-CN" : "en";
})();
