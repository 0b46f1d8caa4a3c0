// Elements are made from text alone: nothing that a user wrote is ever read as markup.
const SVG = "http://www.w3.org/2000/svg";

function made(tag, attributes = {}, ...children) {
  const element = tag === "svg" || tag === "path" ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const json = (id) => JSON.parse(document.getElementById(id).textContent);

// plotly reads a little HTML in its texts, so the data escape what users wrote; outside plotly it is text again.
const ENTITIES = { lt: "<", gt: ">", quot: '"', "#x27": "'", amp: "&" };
const plain = (text) => text
  .replace(/<br>/g, " ").replace(/<\/?b>/g, "").replace(/&(lt|gt|quot|#x27|amp);/g, (_, name) => ENTITIES[name]);

function table(headers, rows, label) {
  const head = made("tr", {}, ...headers.map((text) => made("th", { scope: "col" }, text)));
  const body = rows.map((row) => made("tr", {}, ...row.map((cell, place) =>
    (place ? made("td", {}, cell) : made("th", { scope: "row" }, cell)))));
  return made("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    made("table", {}, made("thead", {}, head), made("tbody", {}, ...body)));
}
