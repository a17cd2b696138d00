"use strict";
(function () {
  const root = document.documentElement;
  const source = document.getElementById("charts").textContent;
  const twins = JSON.parse(document.getElementById("dark-twins").textContent);
  const colours = new RegExp(Object.keys(twins).join("|"), "gi");
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  const asked = new URLSearchParams(window.location.search).get("theme");
  const button = document.getElementById("theme");
  let chosen = asked === "dark" || asked === "light" ? asked : null;

  function dark() {
    return chosen ? chosen === "dark" : systemDark.matches;
  }

  function draw(asDark, onPaper) {
    const text = asDark ? source.replace(colours, (colour) => twins[colour.toLowerCase()]) : source;
    for (const [key, figure] of Object.entries(JSON.parse(text))) {
      const place = document.getElementById("plot-" + key);
      const layout = figure.layout;
      if (onPaper) {
        layout.width = place.parentElement.classList.contains("wide") ? 650 : 316;
        layout.autosize = false;
      } else {
        layout.autosize = true;
      }
      Plotly.react(place, figure.data, layout, { responsive: !onPaper, displaylogo: false, displayModeBar: false });
    }
  }

  function show() {
    if (chosen) {
      root.dataset.theme = chosen;
    } else {
      delete root.dataset.theme;
    }
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", "Switch to " + (dark() ? "light" : "dark") + " colours");
    draw(dark());
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    chosen = dark() ? "light" : "dark";
    show();
  });
  systemDark.addEventListener("change", show);
  window.addEventListener("beforeprint", () => draw(false, true));
  window.addEventListener("afterprint", () => draw(dark()));
  show();
})();
