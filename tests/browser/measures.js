// What tests measure in the page: contrast after WCAG 2.2, success criterion 1.4.3, and texts that cover one another.
(() => {
  const parts = (color) => color.match(/[\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);

  function ground(element) {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  }

  const visible = (element) => {
    const box = element.getBoundingClientRect();
    return element.checkVisibility({ visibilityProperty: true }) && box.width > 1 && box.height > 1;
  };

  // Elements that hold text of their own, in HTML and in the drawings.
  const texts = () => [...document.querySelectorAll("body *")].filter((element) =>
    !["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName) && visible(element)
    && [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim()));

  function ratio(one, two) {
    const [light, dark] = [one, two].map(parts).map(luminance).sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }

  window.measures = {
    ratio,
    contrasts: () => texts().map((element) => {
      const style = getComputedStyle(element);
      const ink = parts(element instanceof SVGElement ? style.fill : style.color);
      const [light, dark] = [luminance(ink), luminance(ground(element))].sort((a, b) => b - a);
      return { text: element.textContent.trim().slice(0, 60), ratio: (light + 0.05) / (dark + 0.05) };
    }),
    // Of lines, markers, bars and keys against what they are drawn on: success criterion 1.4.11.
    graphics: () => [...document.querySelectorAll(".scatterlayer .point, .bars .point path, .js-line, .legend path")]
      .filter((element) => visible(element) && element.style.strokeWidth !== "0px").map((element) => {
        const { fill, stroke } = getComputedStyle(element);
        const home = element.closest("[data-figure]") ?? element.closest("button");
        const under = `rgb(${ground(home).slice(0, 3).join(", ")})`;
        const colors = [fill, stroke].filter((color) => color !== "none");
        return { where: home.dataset.figure ?? "legend", colors, ratio: Math.max(...colors.map((color) => ratio(color, under))) };
      }),
    // Elements whose text does not fit them and that do not scroll.
    clipped: () => texts().filter((element) => !(element instanceof SVGElement)).filter((element) => {
      const style = getComputedStyle(element);
      return element.scrollWidth > element.clientWidth + 1 && style.display !== "inline" && style.overflowX !== "auto";
    }).map((element) => element.textContent.trim().slice(0, 60)),
    // Tick labels of one axis that touch each other, and labels that leave their drawing.
    crowded: () => [...document.querySelectorAll("[data-figure]")].flatMap((plot) => {
      const found = [], frame = plot.getBoundingClientRect();
      for (const axis of ["xtick", "ytick"]) {
        const boxes = [...plot.querySelectorAll(`.${axis} text`)].filter(visible).map((text) =>
          [text.textContent, text.getBoundingClientRect()]);
        boxes.forEach(([one, a], place) => boxes.slice(place + 1).forEach(([two, b]) => {
          const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
          if (!apart) found.push(`${plot.dataset.figure}: ${one} over ${two}`);
        }));
      }
      for (const text of [...plot.querySelectorAll("text")].filter(visible)) {
        const box = text.getBoundingClientRect();
        if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) {
          found.push(`${plot.dataset.figure}: ${text.textContent} leaves the figure`);
        }
      }
      return found;
    }),
    nameless: () => [...document.querySelectorAll("a, button, input, summary, [role=region], [role=img], [role=group], [tabindex='0']")]
      .filter((element) => !((element.getAttribute("aria-label") || element.textContent || "").trim()
        || (element.labels && element.labels.length)))
      .map((element) => element.outerHTML.slice(0, 80)),
  };
})();
