"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  const coarse = matchMedia("(pointer: coarse)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const tint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function themed(layout) {
    const ground = tint("--ground"), ink = tint("--ink"), grid = tint("--grid"), rule = tint("--rule");
    const size = narrow.matches ? 11 : 13;
    const axis = (own) => ({
      ...own,
      gridcolor: grid,
      linecolor: rule,
      title: { ...own.title, font: { size, color: tint("--muted") } },
      tickfont: { size: size - 1 },
    });
    return {
      ...layout,
      autosize: true,
      paper_bgcolor: ground,
      plot_bgcolor: ground,
      font: { family: tint("--sans"), size, color: ink },
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
      annotations: layout.annotations.map((note) => ({ ...note, font: { size: size - 1, color: tint("--muted") } })),
      margin: narrow.matches ? { ...layout.margin, l: 44, r: 4 } : layout.margin,
      hoverlabel: { bgcolor: ground, bordercolor: rule, font: { color: ink, size: 12 }, align: "left" },
      dragmode: coarse.matches ? false : "zoom",
    };
  }

  // A rim in the colour of the ground keeps markers apart where they overlap.
  const rimmed = (data) => data.map((trace) => (trace.marker
    ? { ...trace, marker: { ...trace.marker, line: { ...trace.marker.line, color: tint("--ground") } } } : trace));
  const options = { responsive: true, displayModeBar: false };

  // On a telephone the legend takes a row for each name; the plot below it keeps its height.
  function fit(element, data) {
    const names = data.filter((trace) => trace.showlegend !== false).length;
    element.style.height = narrow.matches ? `${20 + 1.1 * names}rem` : "";
  }

  function openRun(anchor) {
    const run = document.getElementById(anchor);
    if (!(run instanceof HTMLDetailsElement)) return;
    run.open = true;
    const summary = run.querySelector("summary");
    summary.focus({ preventScroll: true });
    summary.scrollIntoView({ block: "start", behavior: still.matches ? "auto" : "smooth" });
  }

  const plots = [...document.querySelectorAll("[data-figure]")].map((element) => {
    const figure = JSON.parse(document.getElementById(element.dataset.figure).textContent);
    fit(element, figure.data);
    Plotly.newPlot(element, rimmed(figure.data), themed(figure.layout), options);
    element.on("plotly_click", (event) => {
      const anchor = event.points[0].customdata;
      if (typeof anchor === "string") {
        history.replaceState(null, "", "#" + encodeURIComponent(anchor));
        openRun(anchor);
      }
    });
    return { element, figure };
  });

  const repaint = () => plots.forEach(({ element, figure }) => {
    fit(element, figure.data);
    Plotly.react(element, rimmed(figure.data), themed(figure.layout), options);
  });
  dark.addEventListener("change", repaint);
  narrow.addEventListener("change", repaint);

  const openTarget = () => openRun(decodeURIComponent(location.hash.slice(1)));
  addEventListener("hashchange", openTarget);
  if (location.hash) openTarget();
})();
