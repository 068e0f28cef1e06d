// Elements and numbers. Text only ever enters the page as text nodes.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const html = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function number(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(4)));
}

const percent = (value, digits = 2) => `${(100 * value).toFixed(digits)} %`;

function withBand(found, text) {
  const [value, low, high] = found;
  return low === undefined ? text(value) : `${text(value)} (${text(low)}–${text(high)})`;
}

/** A score as the page writes it: fractions in per cent, errors in target units. */
function score(found, fractions) {
  const text = (value) => (fractions ? (100 * value).toFixed(2) : String(Number(value.toPrecision(4))));
  const [value, low, high] = found;
  return `${text(value)}${fractions ? " %" : ""}${low === undefined ? "" : ` (${text(low)}–${text(high)})`}`;
}

const EFFICIENCIES = ["accuracy", "auc", "auc_worst", "signal_efficiency"];
